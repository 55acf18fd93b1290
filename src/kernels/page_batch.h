#pragma once

#include "kernels/kernel_table.h"
#include "kernels/page_tables.h"

#include <cstdint>
#include <optional>

namespace vkmoe {

/// How the experts of a batch come by: those in slots are wave 0, the others are fetched into the ring, the
/// next wave_slots of them in ascending order each wave. Slots stay as they are, but for those that a
/// borrowed ring (ring_first < n_slots) needs.
struct PageBatchArgs {
    PageTablesOnDevice tables;
    uint64_t ids = 0;     ///< uint32 [n_pairs]; those that name no expert are left out
    uint64_t waves = 0;   ///< out: uint32 [n_experts]: the wave of each, kNowhere where nobody wants it
    uint64_t copies = 0;  ///< out: PageCopy [n_experts]: those of wave w from (w - 1) * wave_slots on
    /// out: uint32 [n_waves, 3]: {copy_groups, records to fetch, 1}; zeros for wave 0
    uint64_t arguments = 0;
    uint32_t layer = 0;
    uint32_t n_pairs = 0;      ///< any number from 1 on
    uint32_t copy_groups = 0;  ///< workgroups that copy a record together
    uint32_t ring_first = 0;   ///< the ring's first entry of slot_records
    uint32_t ring_slots = 0;   ///< wave_slots, or twice that
    uint32_t wave_slots = 0;
    std::optional<Path> path;     ///< the very cell, for tests; else by the plan
    uint32_t workgroup_size = 0;  ///< 0: by the device (tests)
};

/// Waves that a batch takes at most, and wave 0.
uint32_t page_wave_count(uint32_t n_experts, uint32_t wave_slots);

/// Error(kInvalidArgument) for shapes and addresses that do not fit.
Dispatch page_batch(KernelContext& context, const PageBatchArgs& args);

}  // namespace vkmoe
