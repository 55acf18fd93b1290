#pragma once

#include "gpu/caps.h"
#include "gpu/heaps.h"
#include "gpu/matrix_plan.h"
#include "gpu/path.h"
#include "gpu/register_plan.h"
#include "gpu/tile_plan.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

namespace vkmoe {

/// How much of a tile of attention an invocation holds in registers.
struct AttentionPlan {
    uint32_t queries = 8;            ///< the most of a tile
    uint32_t packed_queries = 8;     ///< the same for caches of int8
    uint32_t words_at_once = 4;      ///< of a row of V, whose sums are made together
    uint32_t packed_value_rows = 4;  ///< rows of V that are loaded together from caches of int8; 1, 2 or 4
};

/// What vkmoe will use of a device: a pure function of its caps and the user's wishes.
struct DevicePlan {
    uint32_t compute_family = 0;
    std::optional<uint32_t> transfer_family;      ///< a family that only copies, where there is one
    std::vector<std::string> extensions;          ///< to enable, beyond core 1.3
    std::vector<Path> path_order;                 ///< best first; each op takes the first that it has
    std::vector<Path> matrix_order;               ///< of the products with weights for a few tokens
    std::vector<Path> tile_order;                 ///< of the products with weights for many tokens
    std::array<std::string, kPathCount> missing;  ///< see missing_for
    std::array<MatrixPlan, kPathCount> matrices;  ///< of the paths with cooperative matrices
    std::array<TilePlan, kPathCount> tiles;       ///< of the other paths but scalar
    uint32_t subgroup_size =
        0;  ///< what kernels may count on; required of pipelines where the driver can be held to it
    uint32_t team_subgroup_size = 0;     ///< the same for products with weights for a few tokens
    uint32_t product_subgroup_size = 0;  ///< the same for other products with weights
    uint32_t matrix_subgroup_size = 0;   ///< the same for those with cooperative matrices
    bool require_subgroup_size =
        false;  ///< ask for these sizes by VkPipelineShaderStageRequiredSubgroupSizeCreateInfo
    uint32_t workgroup_size = 0;  ///< invocations for row kernels: a whole number of subgroups
    RegisterPlan registers;
    AttentionPlan attention;
    uint32_t slots_at_once = 4;  ///< of a page table that an invocation loads together
    uint32_t core_count = 0;     ///< the caps', or a guess
    uint32_t max_workgroup_invocations = 0;
    uint32_t max_shared_memory = 0;    ///< bytes
    uint64_t arena_chunk_size = 0;     ///< bytes; a tensor never straddles two chunks
    uint64_t max_allocation_size = 0;  ///< bytes
    HeapPlan heaps;
    bool unified_memory = false;  ///< heaps.unified
    bool timestamps = false;
    bool memory_budget = false;

    bool uses(const std::string& extension) const {
        return std::find(extensions.begin(), extensions.end(), extension) != extensions.end();
    }
    bool takes(Path path) const {
        return std::find(path_order.begin(), path_order.end(), path) != path_order.end();
    }
};

/// What the device lacks for a path, as "the extension VK_KHR_cooperative_matrix"; empty where it can take
/// it, be it in the plan's order or not.
inline const std::string& missing_for(const DevicePlan& plan, Path path) {
    return plan.missing[static_cast<size_t>(path)];
}

/// The tiles of a path with cooperative matrices that the device can take.
inline const MatrixPlan& matrix_plan(const DevicePlan& plan, Path path) {
    return plan.matrices[static_cast<size_t>(path)];
}

/// The tiles of a path without cooperative matrices, but scalar.
inline const TilePlan& tile_plan(const DevicePlan& plan, Path path) {
    return plan.tiles[static_cast<size_t>(path)];
}

/// Throws Error(kUnsupported) naming the device and everything it lacks. forced_path: from VKMOE_PATH. Ops
/// that do not have it take scalar, or if it is one of cooperative matrices what comes after those in the
/// usual order: few ops have any.
DevicePlan make_plan(const DeviceCaps& caps, std::optional<Path> forced_path);

}  // namespace vkmoe
