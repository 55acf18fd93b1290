#include "kernels/linear_shape.h"

#include "gpu/plan.h"
#include "unit/invented_gpu.h"

#include <gtest/gtest.h>

namespace vkmoe {
namespace {

DevicePlan plan_of_cores(uint32_t core_count) {
    DeviceCaps caps = invented_gpu();
    caps.vendor_id = 0x1002;
    caps.core_count = core_count;
    return make_plan(caps, std::nullopt);
}

uint64_t groups(const MatmulTile& tile, uint32_t n_rows, uint32_t n_tokens) {
    return uint64_t{(n_rows + tile.rows - 1) / tile.rows} * ((n_tokens + tile.tokens - 1) / tile.tokens);
}

TEST(LinearShape, DenseTilesShrinkUntilTheyFillTheDevice) {
    const DevicePlan plan = plan_of_cores(40);
    const TilePlan& tiles = tile_plan(plan, Path::kDot4);
    ASSERT_FALSE(tiles.smaller.empty());
    const MatmulTile large = dense_tile(plan, Path::kDot4, 4096, 512);
    EXPECT_EQ(large.rows, tiles.dense.tile_rows());
    EXPECT_EQ(large.tokens, tiles.dense.tile_tokens());
    // 16 tiles of 64 x 64 would leave most of the cores idle.
    const MatmulTile small = dense_tile(plan, Path::kDot4, 1024, 64);
    EXPECT_LT(small.rows * small.tokens, large.rows * large.tokens);
    EXPECT_GT(groups(small, 1024, 64), groups(large, 1024, 64));
    EXPECT_EQ(dense_tile(plan_of_cores(4), Path::kDot4, 1024, 64).rows, large.rows) << "enough for 4 cores";
}

TEST(LinearShape, DenseTilesAreNotTwiceAsWideAsTheTokens) {
    const DevicePlan plan = plan_of_cores(1);
    EXPECT_EQ(dense_tile(plan, Path::kDot4, 14336, 33).tokens, 64u);
    EXPECT_EQ(dense_tile(plan, Path::kDot4, 14336, 32).tokens, 32u);
    EXPECT_EQ(dense_tile(plan, Path::kDot4, 14336, 9).tokens, 32u) << "there is none smaller";
}

TEST(LinearShape, TeamsAreOfTheSubgroupsOfProducts) {
    DeviceCaps caps = invented_gpu();
    caps.vendor_id = 0x8086;
    caps.min_subgroup_size = 8;
    const DevicePlan plan = make_plan(caps, std::nullopt);
    EXPECT_EQ(team_shape(plan, Path::kDot4).teams, plan.workgroup_size / plan.team_subgroup_size);
}

}  // namespace
}  // namespace vkmoe
