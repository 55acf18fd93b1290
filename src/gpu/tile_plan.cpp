#include "gpu/tile_plan.h"

#include <algorithm>

namespace vkmoe {
namespace {

/// A tile of 32 x 32: 10 KiB of shared memory on dot4 and 16 KiB on float32, the least that Vulkan allows.
constexpr StagedTile kSmallest{64, 4, 4, 8, 1};

/// Tiles that suit a vendor's GPUs better than those of all.
struct VendorTiles {
    uint32_t vendor_id;
    bool emulated_dots_only;  ///< of GPUs without the instruction for a dot product of packed integers
    Path path;
    StagedTile dense;
    StagedTile experts;
    const char* reason;
};
constexpr VendorTiles kVendorTiles[] = {
    {kAmd,
     false,
     Path::kDot4,
     {128, 8, 4, 8, 8},
     {64, 8, 4, 8, 8},
     "clocks of a SIMD for 65,536 products of Q4_K, by Mesa 26.2.6's code for Navi 21: 845 and 881, "
     "where 4 words at a time take 905 and 931, and 4 x 4 sums 1142 and 1178; 96 and 128 registers"},
    {kIntel,
     false,
     Path::kDot4,
     {64, 4, 4, 8, 2},
     {64, 4, 4, 8, 2},
     "4 words at once take 130 of the 128 registers that 8 lanes have before Xe2, by Mesa 26.2.6's code"},
    {kIntel,
     true,
     Path::kDot4,
     {64, 4, 4, 8, 1},
     {64, 4, 4, 8, 1},
     "2 words at once spill 1 to 12 with 11 types, by Mesa 26.2.6's code for Skylake"},
};

}  // namespace

uint32_t TilePlan::shared_memory(Path path, const StagedTile& tile) {
    // As matmul/tile.glsl declares them, for types with the most scales.
    constexpr uint32_t kRuns = 2;
    constexpr uint32_t kVector = 16;
    constexpr uint32_t kTokenScales = 12;
    if (path != Path::kDot4) return kRuns * 8 * kVector * (tile.tile_rows() + tile.tile_tokens());
    return kRuns * (tile.tile_rows() * (8 * 4 + kVector) + tile.tile_tokens() * (8 * 4 + kTokenScales));
}

TilePlan plan_tiles(const DeviceCaps& caps, Path path) {
    // A CPU keeps neither sums in registers nor groups in flight, and takes longer to compile what is
    // unrolled.
    if (caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU) return {kSmallest, kSmallest, {}};
    StagedTile smallest = kSmallest;
    TilePlan plan;
    if (path == Path::kDot4) {
        smallest.words = 4;
        plan = {smallest, smallest, {}};
    } else {
        // In float32 a tile of 32 x 32 takes 16 KiB for one subgroup of 64, which leaves a processor one of
        // them a SIMD. Larger tiles read less of it: 4700 clocks against 5100 by Mesa 26.2.6's code for
        // Polaris 10.
        plan = {{256, 4, 4, 16, 1}, {128, 4, 4, 16, 1}, {}};
    }
    for (const VendorTiles& vendor : kVendorTiles) {
        if (vendor.vendor_id != caps.vendor_id || vendor.path != path) continue;
        if (vendor.emulated_dots_only && caps.integer_dot_accelerated) continue;
        plan.dense = vendor.dense;
        plan.experts = vendor.experts;
        smallest.words = vendor.experts.words;
    }
    const uint32_t most_lanes = caps.max_subgroups_per_workgroup * std::max(caps.min_subgroup_size, 1u);
    const auto fits = [&](const StagedTile& tile) {
        return TilePlan::shared_memory(path, tile) <= caps.max_shared_memory &&
               tile.workgroup_size <= std::min(caps.max_workgroup_invocations, caps.max_workgroup_size[0]) &&
               (most_lanes == 0 || tile.workgroup_size <= most_lanes);
    };
    for (StagedTile* tile : {&plan.dense, &plan.experts})
        if (!fits(*tile)) *tile = smallest;
    if (plan.experts != plan.dense && plan.experts != smallest) plan.others.push_back(plan.experts);
    if (plan.dense != smallest) plan.others.push_back(smallest);
    plan.others.push_back(*smallest.halved());
    return plan;
}

}  // namespace vkmoe
