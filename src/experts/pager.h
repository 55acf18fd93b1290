#pragma once

#include "experts/host_tier.h"
#include "experts/link_probe.h"
#include "experts/pager_mode.h"
#include "experts/pager_shape.h"
#include "experts/pager_stats.h"
#include "experts/slot_plan.h"
#include "experts/slot_pool.h"
#include "kernels/expert_matvec.h"
#include "kernels/kernel_table.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace vkmoe {

class DevicePager;
class HostPager;

/// What the pager did since the model was loaded.
struct PagerCounters {
    uint64_t hits = 0;  ///< experts that a step of few tokens wanted and that were there
    uint64_t misses = 0;
    uint64_t evictions = 0;
    uint64_t prefetched = 0;
    uint64_t prefetched_used = 0;
    uint64_t batch_hits = 0;  ///< that a batch wanted and that were there
    uint64_t streamed = 0;    ///< that came for a batch alone
    uint64_t bytes_copied = 0;

    void add(const PageHeader& header);
};

/// Keeps as many experts as fit in slots of device memory and brings the others from the host when they are
/// wanted. Which ones stay is decided on the device, in the command buffer that wants them, or by the host
/// (Residency, page_resolve). Sessions of one model share it; a session locks it while it computes.
class Pager {
  public:
    /// mode: kDevice, which needs all records pinned, or kHost.
    /// link: as measured, for stats() and for what `copy_by` leaves open; zeros where it was not.
    Pager(KernelContext& kernels, PagerMode mode, PagerShape shape, std::unique_ptr<HostTier> host_tier,
          const LinkSpeed& link, CopyBy copy_by = CopyBy::kAuto);
    ~Pager();
    Pager(const Pager&) = delete;
    Pager& operator=(const Pager&) = delete;

    PagerMode mode() const { return mode_; }
    const PagerShape& shape() const { return shape_; }
    HostTier& host_tier() const { return *host_tier_; }

    /// The device memory without which nothing works: slots for one layer's experts of a token, and tables.
    /// While the pager exists the device keeps it for slots, so that no session can take it.
    uint64_t least_bytes() const { return least_bytes(kernels_.device(), mode_, shape_); }
    static uint64_t least_bytes(const Device& device, PagerMode mode, const PagerShape& shape);
    /// The slots that so many free bytes give, tables and all; at least least_bytes().
    static SlotPlan plan_for(const Device& device, PagerMode mode, const PagerShape& shape, uint64_t free);

    /// What holds the pager while something is recorded or run that goes through it: others wait, and slots
    /// stay. Takes what device memory is free for slots and fills them, unless that was done: throws
    /// kOutOfMemory where it is too little, and what the host tier throws. pager may be null.
    class Use {
      public:
        explicit Use(Pager* pager);
        ~Use();
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;

      private:
        Pager* pager_;
        std::unique_lock<std::recursive_mutex> lock_;
        std::chrono::steady_clock::time_point start_;
    };
    /// Rises when slots are taken: what was recorded before is void.
    uint64_t generation() const { return generation_; }

    // While there are slots:
    const SlotPlan& plan() const { return plan_; }
    const SlotPool& pool() const { return *pool_; }
    /// How matrix kernels find the experts of a layer.
    ExpertTable table(uint32_t layer) const;
    /// Tokens whose experts are sure to find slots together.
    uint32_t tokens_at_once() const;
    DevicePager* on_device() const { return on_device_.get(); }  ///< null in the other mode
    HostPager* on_host() const { return on_host_.get(); }

    const LinkSpeed& link() const { return link_; }
    /// One line: who pages, what was measured of the link, and where the records are.
    std::string describe() const;
    /// As the last use that ended left them. Safe from any thread while others use the pager, and waits for
    /// none of them.
    PagerCounters counters() const;
    PagerStats stats() const;
    /// Records that prefetching and misses of a layer may move together; 0: no prefetching.
    void set_link_records(uint32_t records);
    uint32_t link_records() const { return link_records_; }

  private:
    void ensure_slots();
    void take_and_fill_slots();
    /// Takes slots and tables within so many bytes; false, with nothing taken, where the device refuses them.
    /// given: the bytes of slots that it did not refuse.
    bool take_slots(uint64_t free, uint64_t& given);
    void fill_slots();
    /// Copies the records of the first n_slots slots from the host tier.
    void copy_records(const std::vector<uint32_t>& experts);
    void free_slots();
    void apply_link_records();
    /// Shows counters() and stats() what has been done by now.
    void publish(double seconds_of_use);
    /// Gives all slots back, for an arena that is short of memory. Waits for the device.
    void drop_slots();

    KernelContext& kernels_;
    PagerMode mode_;
    PagerShape shape_;
    std::unique_ptr<HostTier> host_tier_;
    std::recursive_mutex mutex_;  // an arena of whoever uses the pager may ask it for memory
    uint32_t n_uses_ = 0;
    SlotPlan plan_;
    std::unique_ptr<SlotPool> pool_;
    std::unique_ptr<DevicePager> on_device_;
    std::unique_ptr<HostPager> on_host_;
    PagerCounters past_;  // of slots that were given back
    uint64_t generation_ = 0;
    uint32_t link_records_ = 0;
    LinkSpeed link_;
    CopyBy copy_by_;

    /// What other threads see.
    struct Published {
        PagerCounters counters;
        uint64_t n_slots = 0;
        uint64_t slot_bytes = 0;
        double seconds_in_use = 0;
    };
    mutable std::mutex published_mutex_;  // held for a moment only, and last
    Published published_;
};

}  // namespace vkmoe
