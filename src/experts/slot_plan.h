#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pager/params.h"

namespace vkmoe {

/// How the bytes for experts are cut into slots.
///
/// Slots are sorted by size. Each layer uses those of its records' own size; where there are not enough of
/// them for one token's experts it uses all that are large enough. Batches stream through a ring of places of
/// the largest size: its own, after the slots, or where bytes are too few for that the last slots.
struct SlotPlan {
    std::vector<uint64_t> slot_bytes;  ///< of each slot, ascending
    std::vector<PageLayer> layers;     ///< what each layer may use
    bool holds_all = false;            ///< a slot for every expert
    uint32_t ring_first = 0;           ///< first of the ring's places, which go on after the slots
    uint32_t ring_slots = 0;           ///< 0 where all experts have slots
    uint32_t wave_slots = 0;           ///< filled at once: half of the ring where it has two places or more
    uint64_t place_bytes = 0;          ///< of a place of the ring

    uint32_t n_slots() const { return static_cast<uint32_t>(slot_bytes.size()); }
    /// Slots and, where it is not borrowed, the ring.
    uint32_t n_places() const { return std::max(n_slots(), ring_first + ring_slots); }
    uint64_t place_bytes_of(uint32_t place) const {
        return place < n_slots() ? slot_bytes[place] : place_bytes;
    }
    uint64_t total_bytes() const;
    /// Fills the ring at once and not half by half: for those who cannot copy beside computing.
    void use_whole_ring() { wave_slots = ring_slots; }
    /// 1 + the waves that all of a layer's experts make.
    uint32_t n_waves(uint32_t n_experts) const;
};

/// What a record takes as a slot.
uint64_t slot_bytes_of(uint64_t record_bytes);

/// The least bytes that plan_slots can do with: one layer's n_used experts.
uint64_t least_slot_bytes(std::span<const uint64_t> record_bytes, uint32_t n_used);

/// record_bytes: of each layer with experts. bytes: at least least_slot_bytes.
SlotPlan plan_slots(uint64_t bytes, std::span<const uint64_t> record_bytes, uint32_t n_experts,
                    uint32_t n_used);

}  // namespace vkmoe
