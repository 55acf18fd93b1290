#pragma once

#include "experts/slot_plan.h"
#include "gpu/arena.h"
#include "kernels/dispatch.h"

#include <memory>
#include <vector>

namespace vkmoe {

/// The device memory of slots and ring.
class SlotPool {
  public:
    /// Takes the places of the plan. Where the device refuses, places() holds those that it gave until then.
    SlotPool(const std::shared_ptr<Device>& device, const SlotPlan& plan);

    /// The places there are, in the plan's order.
    const std::vector<Allocation>& places() const { return places_; }
    uint64_t committed_bytes() const { return arena_.committed_bytes(); }
    /// What the chunks of a pool of so many bytes take beyond them, at most.
    static uint64_t overhead(const Device& device, uint64_t bytes);

    /// Stands for all slots, and for each half of the ring, in what dispatches read and write: barriers are
    /// global, so that a few bytes of memory can speak for the rest.
    MemoryView slots_token() const { return token(0); }
    MemoryView ring_token(uint32_t half) const { return token(1 + half); }

  private:
    void take_places(Arena& arena, const SlotPlan& plan);
    MemoryView token(uint64_t index) const;

    Arena arena_;
    Arena token_arena_;
    Allocation tokens_;
    std::vector<Allocation> places_;
};

}  // namespace vkmoe
