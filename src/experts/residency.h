#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pager/params.h"

namespace vkmoe {

struct ResidencyShape {
    uint32_t n_layers = 0;   ///< those with experts
    uint32_t n_experts = 0;  ///< of a layer
    uint32_t n_slots = 0;
    std::vector<PageLayer> layers;  ///< which slots each may use, and the size of its records
};

/// A shape of one pool: every layer may use every slot, and records have one size.
ResidencyShape one_pool(uint32_t n_layers, uint32_t n_experts, uint32_t n_slots, uint32_t record_units = 1);

/// A record to copy. expert: layer * n_experts + e.
struct RecordCopy {
    uint32_t expert = 0;
    uint32_t slot = 0;

    bool operator==(const RecordCopy&) const = default;
};

/// What a step of one layer found and does. hit_ids and miss_ids have a place for each of the step's ids: the
/// id, or kNowhere where it belongs to the other list or names no expert.
struct ResidencyStep {
    std::vector<uint32_t> hit_ids;
    std::vector<uint32_t> miss_ids;
    std::vector<RecordCopy> misses;      ///< ascending experts of the layer
    std::vector<RecordCopy> prefetches;  ///< of the next layer, in the order of the prediction
};

/// How a batch's experts come by.
struct ResidencyBatch {
    std::vector<uint32_t>
        waves;  ///< [n_experts]: 0: in a slot; w: among wave w's copies; kNowhere: nobody wants it
    std::vector<RecordCopy> copies;  ///< slot: the place in the ring, counted with the slots. Those of wave w
                                     ///< from (w - 1) * wave_slots on
};

/// Which experts are in which slots of the device's memory, and who leaves when another must come. It decides
/// as shaders/pager/policy.h says, and entry by entry as the kernels page_resolve and page_batch do.
class Residency {
  public:
    explicit Residency(ResidencyShape shape);

    /// Records that the link moves in a layer's time: what a step's misses leave of it, prefetches may use.
    void set_link_records(uint32_t n) { header_.link_records = n; }

    /// A step of a layer that wants the experts `ids` (of the layer; what is no expert is left out). The
    /// layer must have a slot at least for each. predicted: experts of the next layer, the likeliest first,
    /// and how probable each is. The result holds until the next call.
    const ResidencyStep& resolve(uint32_t layer, std::span<const uint32_t> ids,
                                 std::span<const uint32_t> predicted = {},
                                 std::span<const float> probabilities = {});

    /// A batch of tokens, whose experts stay where they are or come through the ring: ring_slots places from
    /// ring_first on, wave_slots of them at a time. Where ring_first is below n_slots the ring is borrowed
    /// from the slots, and these are emptied if something must come. The result holds until the next call.
    const ResidencyBatch& batch(uint32_t layer, std::span<const uint32_t> ids, uint32_t ring_first,
                                uint32_t ring_slots, uint32_t wave_slots);

    /// Says that an expert that has no slot is in this empty one now.
    void place(uint32_t expert, uint32_t slot);
    /// Says that what a slot was to hold has not come after all.
    void forget(uint32_t slot);

    const ResidencyShape& shape() const { return shape_; }
    const PageHeader& header() const { return header_; }
    /// [n_slots]: the expert that is there, perhaps with kPrefetchedBit, or kNowhere.
    std::span<const uint32_t> slots() const { return slots_; }
    /// [n_layers, n_experts]
    std::span<const PageExpert> experts() const { return experts_; }

  private:
    struct Victim {
        uint32_t key = 0;
        uint32_t slot = 0;
    };

    void protect(uint32_t next_layer, std::span<const uint32_t> predicted);
    void fetch_missing(uint32_t layer);
    void fetch_ahead(uint32_t layer, std::span<const uint32_t> predicted,
                     std::span<const float> probabilities);
    void find_victims(uint32_t now, const PageLayer& range, size_t n);
    uint32_t key_of(uint32_t slot, uint32_t now) const;
    void empty(uint32_t slot);
    void assign(uint32_t expert, uint32_t slot, uint32_t bit);
    void mark_used(std::span<const uint32_t> ids);

    ResidencyShape shape_;
    PageHeader header_{};
    std::vector<uint32_t> slots_;
    std::vector<PageExpert> experts_;
    std::vector<uint32_t> layer_of_;  // [n_layers * n_experts], which saves divisions

    // Of the present call.
    ResidencyStep step_;
    ResidencyBatch batch_;
    std::vector<uint8_t> used_;     // [n_experts]
    std::vector<uint8_t> live_;     // [n_slots]: kLive or kProtected
    std::vector<uint32_t> marked_;  // slots whose live_ is set
    bool looks_ahead_ = false;      // the step knows of the next layer
    std::vector<Victim> victims_;   // the first leaves first
};

}  // namespace vkmoe
