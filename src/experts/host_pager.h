#pragma once

#include "experts/host_step.h"
#include "experts/pager_shape.h"
#include "experts/record_copier.h"
#include "experts/residency.h"
#include "experts/slot_plan.h"
#include "experts/slot_pool.h"
#include "kernels/kernel_table.h"
#include "sched/scheduler.h"

#include <deque>
#include <vector>

namespace vkmoe {

/// The pager whose decisions fall on the host: between two parts of a batch it learns which experts a layer's
/// tokens chose, decides by Residency, and has records copied while what is there is computed.
class HostPager {
  public:
    HostPager(KernelContext& kernels, const PagerShape& shape, const SlotPlan& plan, const SlotPool& pool,
              HostTier& host_tier, CopyBy copy_by);
    ~HostPager();
    HostPager(const HostPager&) = delete;
    HostPager& operator=(const HostPager&) = delete;

    /// Says which experts the first slots hold: [n_slots], expert or kNowhere.
    void fill(const std::vector<uint32_t>& experts);

    /// uint64 [n_layers, n_experts]: what matrix kernels find records by.
    const Allocation& records() const { return records_; }
    const Residency& residency() const { return residency_; }
    void set_link_records(uint32_t records) {
        residency_.set_link_records(host_tier_.all_resident() ? records : 0);
    }

    struct Done {
        std::vector<TimelinePoint> waits;        ///< what the next part must wait for
        std::vector<const CommandBuffer*> runs;  ///< of the step's, submitted and not yet collected
    };
    /// Does a step when the part before it, which reaches `value` of the scheduler's timeline, is done.
    /// Throws what the host tier and submissions throw. Then slots hold the experts whose copies were
    /// submitted, and no others.
    Done run(const RecordedHostStep& recorded, uint64_t value, Scheduler& scheduler);

  private:
    struct Held {
        uint64_t copied_at;  // value of the copier
        uint32_t expert;
    };

    Done resolve(const RecordedHostStep& recorded, Scheduler& scheduler);
    Done batch(const RecordedHostStep& recorded, Scheduler& scheduler);
    /// Has records copied when all of `waits` is reached; the value of the copier that tells that they are
    /// there. arrived: how many of them are sure to be, also when it throws.
    uint64_t copy(std::span<const RecordCopy> copies, std::span<const TimelinePoint> waits, size_t& arrived);
    /// Has the host tier read what the look-ahead names.
    void read_ahead(const HostStep& step);
    void release_copied();
    void wait_for_oldest();
    void write_record(const RecordCopy& copy);
    uint32_t layer_of(uint32_t expert) const { return expert / shape_.n_experts; }

    const PagerShape& shape_;
    const SlotPlan& plan_;
    const SlotPool& pool_;
    HostTier& host_tier_;
    Residency residency_;
    std::unique_ptr<RecordCopier> copier_;
    Arena arena_;
    Allocation records_;
    std::deque<Held> held_;
    size_t most_held_;
    std::vector<RecordMove> moves_;
    uint64_t copied_at_ = 0;  // value of the copier: the last copy
};

}  // namespace vkmoe
