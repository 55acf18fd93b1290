#pragma once

#include "experts/host_tier.h"
#include "experts/pager_shape.h"
#include "experts/slot_plan.h"
#include "experts/slot_pool.h"
#include "kernels/dispatch.h"
#include "kernels/kernel_table.h"
#include "kernels/page_tables.h"

#include <vector>

namespace vkmoe {

/// Scratch memory for the steps and batches of a session.
struct PageScratch {
    Allocation hit_ids;         ///< uint32 [pairs]
    Allocation miss_ids;        ///< uint32 [pairs]
    Allocation copies;          ///< PageCopy [records at once]
    Allocation arguments;       ///< uint32 [dispatches, 3], indirect
    Allocation waves;           ///< uint32 [n_experts]
    Allocation wave_ids;        ///< uint32 [pairs]
    Allocation wave_arguments;  ///< uint32 [kMaxWaveDispatches, 3], indirect
};

/// The pager whose decisions fall on the device: dispatches in the command buffer that wants the experts.
class DevicePager {
  public:
    /// Pager::copy_records fills the slots later.
    DevicePager(KernelContext& kernels, const PagerShape& shape, const SlotPlan& plan, const SlotPool& pool,
                const HostTier& host_tier);

    static uint64_t table_bytes(const PagerShape& shape, uint64_t n_places);

    /// Writes the tables with these experts in the first slots. experts: [n_slots], expert or kNowhere.
    void fill(const std::vector<uint32_t>& experts);

    const PageTablesOnDevice& tables() const { return tables_; }
    void set_link_records(uint32_t records);
    PageHeader read_header() const;
    /// The header on the device, and a copy for the host that a batch brings up to date when it ends.
    const Allocation& header() const { return header_; }
    const Allocation& header_copy() const { return header_copy_; }
    /// As the last batch that ended left it. Never waits for the device.
    PageHeader last_header() const;
    /// The tables as the device has them, for tests.
    std::vector<uint32_t> read_slots() const;
    std::vector<PageExpert> read_experts() const;

    /// A step: what decides, and then what copies. The copies may run beside whatever does not read the slots
    /// of missing experts.
    struct Resolve {
        Dispatch decide;
        Dispatch fetch;     ///< what misses
        Dispatch prefetch;  ///< what the next layer will probably want; without a pipeline: nothing
        Allocation miss_arguments;
    };
    struct Wishes {
        uint32_t layer = 0;
        uint64_t ids = 0;
        uint32_t n_pairs = 0;
        uint64_t predicted = 0;  ///< 0: no prefetching
        uint64_t probabilities = 0;
        uint32_t n_predicted = 0;
        std::array<uint32_t, 3> miss_groups{};  ///< of the dispatches over miss_ids
    };
    Resolve resolve(const PageScratch& scratch, const Wishes& wishes) const;

    /// A batch: the decision, and the copies of each wave from 1 on.
    Dispatch batch(const PageScratch& scratch, uint32_t layer, uint64_t ids, uint32_t n_pairs) const;
    Dispatch fetch_wave(const PageScratch& scratch, uint32_t wave) const;

  private:
    uint32_t copy_groups(uint32_t layer) const;

    KernelContext& kernels_;
    const PagerShape& shape_;
    const SlotPlan& plan_;
    const SlotPool& pool_;
    Arena arena_;
    Arena copy_arena_;
    PageTablesOnDevice tables_;
    Allocation header_;
    Allocation header_copy_;
    Allocation slots_;
    Allocation experts_;
    Allocation records_;
    MemoryView host_records_memory_;
    uint32_t link_records_ = 0;
};

}  // namespace vkmoe
