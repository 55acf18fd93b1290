#pragma once

#include "experts/pager_shape.h"
#include "experts/record_copier.h"
#include "experts/residency.h"
#include "experts/slot_plan.h"
#include "experts/slot_pool.h"
#include "kernels/kernel_table.h"
#include "sched/host_step.h"

#include <array>
#include <deque>
#include <memory>
#include <variant>
#include <vector>

namespace vkmoe {

/// What a step of few tokens does: the records of missing experts go to slots, where they stay.
struct HostResolve {
    uint32_t layer = 0;  ///< among those with experts
    uint32_t n_pairs = 0;
    uint32_t n_predicted = 0;
    // In readback memory, copied there by the part before the step:
    Allocation ids;            ///< uint32 [n_pairs]
    Allocation predicted;      ///< uint32 [n_predicted], of the next layer
    Allocation probabilities;  ///< float32 [n_predicted]
    // In upload memory, written by the step:
    Allocation hit_ids;                     ///< uint32 [n_pairs]: ids of experts that are there
    Allocation miss_ids;                    ///< uint32 [n_pairs]: ids of experts that come
    Allocation miss_arguments;              ///< indirect: of the dispatches over miss_ids
    std::array<uint32_t, 3> miss_groups{};  ///< of these dispatches if anything is missed
};

/// What a step of many tokens does: the records of missing experts go through the ring, wave by wave.
struct HostBatch {
    uint32_t layer = 0;  ///< among those with experts
    uint32_t n_pairs = 0;
    Allocation ids;  ///< uint32 [n_pairs], in readback memory
    std::array<Allocation, 2>
        wave_ids;  ///< uint32 [n_pairs], written for each wave, by the parity of its number
};

/// Pages experts between two parts of a program: a step reads which experts a layer's tokens chose, decides
/// by Residency, and has records copied while the device computes with those that are there.
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

    /// Steps of a program, which runs only while the pager exists and is locked. Its dispatches are, for
    /// HostResolve, gate and up over hit_ids; for HostBatch, all that a wave computes over wave_ids[0], and
    /// over wave_ids[1]. A step throws what the host tier and submissions throw: then slots hold the experts
    /// whose copies were submitted, and no others.
    std::unique_ptr<HostStep> step(const HostResolve& resolve);
    std::unique_ptr<HostStep> step(const HostBatch& batch);

  private:
    struct Held {
        uint64_t copied_at;  // value of the copier
        uint32_t expert;
    };

    class Step;
    using Commands = std::span<const std::unique_ptr<CommandBuffer>>;

    HostStep::Done run(const HostResolve& step, Commands commands, Scheduler& scheduler);
    HostStep::Done run(const HostBatch& step, Commands commands, Scheduler& scheduler);
    /// Has records copied when all of `waits` is reached; the value of the copier that tells that they are
    /// there. arrived: how many of them are sure to be, also when it throws.
    uint64_t copy(std::span<const RecordCopy> copies, std::span<const TimelinePoint> waits, size_t& arrived);
    /// Has the host tier read what the look-ahead names.
    void read_ahead(const HostResolve& step);
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
