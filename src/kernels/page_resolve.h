#pragma once

#include "kernels/kernel_table.h"
#include "kernels/page_tables.h"
#include "pager/params.h"

#include <array>
#include <cstdint>
#include <optional>

namespace vkmoe {

/// A step of one layer: which of the experts that the router chose are in slots, which slots the others and
/// the likeliest of the next layer get, and what must be copied. The decisions are those of
/// Residency::resolve (src/experts/residency.h), entry by entry. The layer's slots must be at least as many
/// as the experts that the ids name.
struct PageResolveArgs {
    PageTablesOnDevice tables;
    uint64_t ids = 0;            ///< uint32 [n_pairs]; those that name no expert are left out
    uint64_t predicted = 0;      ///< uint32 [n_predicted], the likeliest first; 0: none
    uint64_t probabilities = 0;  ///< float32 [n_predicted]; 0 with predicted
    uint64_t hit_ids = 0;        ///< out: uint32 [n_pairs]: the id where its record is there, else kNowhere
    uint64_t miss_ids = 0;       ///< out: uint32 [n_pairs]: the others
    uint64_t copies = 0;     ///< out: PageCopy [n_pairs + n_predicted]: misses, from n_pairs on prefetches
    uint64_t arguments = 0;  ///< out: uint32 [3, 3]: indirect arguments of PageResolveParams
    uint32_t layer = 0;
    uint32_t n_pairs = 0;                   ///< at most kMaxResolvedPairs
    uint32_t n_predicted = 0;               ///< at most kMaxPredictedExperts
    uint32_t copy_groups = 0;               ///< workgroups that copy a record together
    std::array<uint32_t, 3> miss_groups{};  ///< of the dispatch over miss_ids, if anything is missed
    std::optional<Path> path;               ///< the very cell, for tests; else by the plan
    uint32_t workgroup_size = 0;  ///< 0: by the device; else a power of two, whole subgroups (tests)
};

/// Error(kInvalidArgument) for shapes and addresses that do not fit.
Dispatch page_resolve(KernelContext& context, const PageResolveArgs& args);

}  // namespace vkmoe
