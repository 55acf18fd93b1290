#pragma once

#include "experts/host_tier_options.h"

#include <cstdint>
#include <vector>

namespace vkmoe {

/// Records of one size.
struct RecordClass {
    uint64_t stride = 0;           ///< bytes from one place to the next
    std::vector<uint32_t> layers;  ///< whose records have this size
    uint64_t n_records = 0;        ///< of all these layers
    uint64_t n_places = 0;         ///< that they get
};

/// What becomes of a host tier's budget.
struct HostBudget {
    std::vector<RecordClass> classes;  ///< in the order in which they first come in the layers
    bool holds_all = false;            ///< a place for every record
    FileReaderOptions reader;          ///< with buffers that the budget has room for
};

/// The least budget of a tier for these layers: options.least_records of each size, and the smallest read
/// buffers.
uint64_t least_host_budget(const std::vector<RecordLayer>& layers, uint32_t n_experts,
                           const HostTierOptions& options);
/// The budget that holds every record beside the usual read buffers.
uint64_t full_host_budget(const std::vector<RecordLayer>& layers, uint32_t n_experts,
                          const HostTierOptions& options);

/// Shares the budget out: to each class for the same share of its records, but to least_records of them (or
/// all) at least. Throws kOutOfMemory, with the least budget that works, where it is less than that.
HostBudget share_budget(const std::vector<RecordLayer>& layers, uint32_t n_experts,
                        const HostTierOptions& options);

}  // namespace vkmoe
