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
    ASSERT_FALSE(tiles.others.empty());
    const MatmulTile large = dense_tile(plan, Path::kDot4, {4096, 512});
    EXPECT_EQ(large.rows, tiles.dense.tile_rows());
    EXPECT_EQ(large.tokens, tiles.dense.tile_tokens());
    // 16 tiles of 64 x 64 would leave most of the cores idle.
    const MatmulTile small = dense_tile(plan, Path::kDot4, {1024, 64});
    EXPECT_LT(small.rows * small.tokens, large.rows * large.tokens);
    EXPECT_GT(groups(small, 1024, 64), groups(large, 1024, 64));
    EXPECT_EQ(dense_tile(plan_of_cores(4), Path::kDot4, {1024, 64}).rows, large.rows) << "enough for 4 cores";
}

TEST(LinearShape, DenseTilesAreNotTwiceAsWideAsTheTokens) {
    const DevicePlan plan = plan_of_cores(1);
    EXPECT_EQ(dense_tile(plan, Path::kDot4, {14336, 33}).tokens, 64u);
    EXPECT_EQ(dense_tile(plan, Path::kDot4, {14336, 32}).tokens, 32u);
    EXPECT_EQ(dense_tile(plan, Path::kDot4, {14336, 9}).tokens, 16u);
}

DeviceCaps gpu_with_matrices(uint32_t m, uint32_t n, uint32_t k) {
    constexpr MatrixElement kHalf = MatrixElement::kFloat16;
    constexpr MatrixElement kFloat = MatrixElement::kFloat32;
    DeviceCaps caps = invented_gpu();
    caps.extensions = {"VK_KHR_cooperative_matrix"};
    caps.float16 = caps.vulkan_memory_model = caps.vulkan_memory_model_device_scope = true;
    caps.matrices.cooperative_matrix = caps.matrices.in_compute = true;
    caps.matrices.shapes = {{m, n, k, kHalf, kHalf, kFloat, kFloat}};
    return caps;
}

TEST(LinearShape, LongPromptsTakeFewRowsByManyTokensWhereDecodingIsDear) {
    DeviceCaps caps = gpu_with_matrices(8, 16, 16);
    caps.subgroup_size = caps.min_subgroup_size = caps.max_subgroup_size = 16;
    DevicePlan plan = make_plan(caps, std::nullopt);
    const auto tile = [&] {
        return dense_tile(plan, Path::kCoopmat, {.n_rows = 4096, .n_tokens = 512, .core_count = 20});
    };
    EXPECT_EQ(tile().tokens, 256u);
    EXPECT_EQ(tile().rows, 32u);
    plan.matrices[static_cast<size_t>(Path::kCoopmat)].decoding = 12;
    EXPECT_EQ(tile().tokens, 128u);
}

TEST(LinearShape, LongPromptsTakeTilesOfMoreTokens) {
    const DeviceCaps caps = gpu_with_matrices(16, 16, 16);
    const DevicePlan plan = make_plan(caps, std::nullopt);
    const auto tokens = [&](uint32_t n_rows, uint32_t n_tokens) {
        return dense_tile(plan, Path::kCoopmat, {.n_rows = n_rows, .n_tokens = n_tokens, .core_count = 32})
            .tokens;
    };
    EXPECT_EQ(tokens(4096, 512), 128u);
    EXPECT_EQ(tokens(4096, 64), 64u);
    EXPECT_LT(tokens(4096, 130), 128u) << "half of the second tile would be empty";
    EXPECT_EQ(tokens(14336, 16), 16u);
    EXPECT_LT(tokens(1024, 128), 128u) << "too few tiles";
}

TEST(LinearShape, DenseColumnsAreSplitUntilTilesFillTheDevice) {
    const DevicePlan plan = plan_of_cores(40);
    const auto tile = [&](uint32_t n_rows, uint32_t n_tokens) {
        return dense_tile(plan, Path::kDot4, {.n_rows = n_rows, .n_tokens = n_tokens, .most_parts = 4});
    };
    const MatmulTile few = tile(1024, 64);
    const MatmulTile unsplit = dense_tile(plan, Path::kDot4, {1024, 64});
    EXPECT_GT(few.parts, 1u);
    EXPECT_GE(few.rows * few.tokens, unsplit.rows * unsplit.tokens) << "larger tiles read less";
    EXPECT_GE(groups(few, 1024, 64) * few.parts, 80u);
    EXPECT_EQ(tile(4096, 512).parts, 1u);
    EXPECT_EQ(tile(32, 32).parts, 4u) << "no more than are wanted";
    // The memory that is promised to be enough is enough.
    for (uint32_t n_rows : {8u, 128u, 1000u, 1024u, 4096u}) {
        for (uint32_t n_tokens : {9u, 16u, 33u, 64u, 100u, 512u}) {
            const uint64_t parts = tile(n_rows, n_tokens).parts;
            if (parts == 1) continue;
            EXPECT_LE(parts * n_rows * n_tokens * sizeof(float), split_sums_bytes(plan));
        }
    }
    EXPECT_EQ(split_sums_bytes(plan_of_cores(1)), 0u);
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
