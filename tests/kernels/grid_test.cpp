#include "kernels/grid.h"

#include "conformance/cells.h"
#include "conformance/suite.h"
#include "kernels/attention.h"
#include "kernels/kernel_fixture.h"
#include "kernels/kv_cache.h"
#include "kernels/qk_norm_rope.h"

#include <algorithm>

namespace vkmoe {
namespace {

using GridTest = KernelTest;

/// Column and row of a workgroup, as grid_position() of common/grid.glsl computes them.
std::pair<uint32_t, uint32_t> grid_position(const GridSize& grid, uint32_t x, uint32_t y, uint32_t z,
                                            uint32_t n_rows) {
    const uint32_t row = z * grid.y + y;
    if (grid.y * grid.z == n_rows) return {x, row};
    return {row / n_rows * grid.x + x, row % n_rows};
}

TEST(FoldGrid, CoversEachPlaceOnceWithinTheLimits) {
    for (const GridSize most : {GridSize{7, 5, 1000}, {1, 3, 1000}, {100, 7, 7}, {65535, 65535, 65535}}) {
        for (const uint32_t n_columns : {1u, 2u, 7u, 8u, 15u, 23u, 100u, 101u}) {
            for (const uint32_t n_rows : {1u, 2u, 5u, 6u, 11u, 31u}) {
                const GridSize grid = fold_grid(n_columns, n_rows, most);
                if (grid.z > most.z) continue;
                ASSERT_LE(grid.x, most.x);
                ASSERT_LE(grid.y, most.y);
                std::vector<uint32_t> visits(size_t{n_columns} * n_rows);
                uint32_t beyond = 0;
                for (uint32_t z = 0; z < grid.z; ++z) {
                    for (uint32_t y = 0; y < grid.y; ++y) {
                        for (uint32_t x = 0; x < grid.x; ++x) {
                            const auto [column, row] = grid_position(grid, x, y, z, n_rows);
                            ASSERT_LT(row, n_rows);
                            if (column < n_columns) ++visits[size_t{column} * n_rows + row];
                            if (column >= n_columns) ++beyond;
                        }
                    }
                }
                EXPECT_EQ(std::ranges::count(visits, 1u), visits.size())
                    << n_columns << " by " << n_rows << " within " << most.x << " by " << most.y;
                if (n_columns <= most.x && n_rows <= most.y) {
                    EXPECT_EQ(beyond, 0u);
                }
            }
        }
    }
}

TEST_F(GridTest, TooManyWorkgroupsAreRefused) {
    KernelContext limited(context().shared_device());
    limited.limit_groups({10, 10, 10});
    EXPECT_NO_THROW(folded_grid(limited, Op::kMatvec, 100, 10));
    EXPECT_THROW(folded_grid(limited, Op::kMatvec, 1000, 2), Error);
    EXPECT_THROW(folded_grid(context(), Op::kMatvec, 1ull << 31, 2), Error);
}

/// The quick cases of every op that has a grid, as if the device took a few workgroups at a time only. What
/// is laid out differs by op and path; of types one with small and one with large blocks will do.
TEST_F(GridTest, EveryKernelFolds) {
    KernelContext limited(context().shared_device());
    limited.limit_groups({5, 3, 65535});
    conformance::Bench bench(limited);
    const auto seed = static_cast<uint32_t>(random()());
    for (const KernelBinary& binary : kernel_table()) {
        const KernelKey& cell = binary.key;
        // Their grids are those of the copies, which do not fold.
        if (cell.op == Op::kPageFetch || cell.op == Op::kPageResolve || cell.op == Op::kPageBatch) continue;
        if (cell.type != TensorType::kF32 && cell.type != TensorType::kQ4_K) continue;
        const conformance::CellResult result =
            conformance::run_cell(bench, cell, conformance::Depth::kQuick, seed);
        for (const conformance::CaseFailure& failure : result.failures)
            ADD_FAILURE() << conformance::cell_name(cell) << ", " << failure.case_name << ": "
                          << failure.message;
    }
}

/// Grids that are larger in x or in y than Vulkan promises, of the shapes of real models.
TEST_F(GridTest, LargeGridsOfRowsAndPairs) {
    for (const KernelBinary& binary : kernel_table()) {
        const KernelKey& cell = binary.key;
        if (cell.type != TensorType::kF32 || !missing_for_kernels(context().plan(), cell.path).empty())
            continue;
        for (const conformance::Case& one : conformance::cases_of(cell, conformance::Depth::kFull)) {
            if (one.name != "more rows than a grid is wide" && one.name != "more rows than a grid is high")
                continue;
            EXPECT_NO_THROW(one.run(test_case())) << conformance::cell_name(cell) << ", " << one.name;
        }
    }
}

TEST_F(GridTest, MoreTokensThanAGridIsHigh) {
    constexpr uint32_t kTokens = 65540;
    constexpr uint32_t kHeadDim = 32;
    std::vector<float> rows(size_t{kTokens} * kHeadDim);
    std::vector<int32_t> positions(kTokens);
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<float>(i % 1000003);
    for (uint32_t t = 0; t < kTokens; ++t) positions[t] = static_cast<int32_t>(kTokens - 1 - t);
    for (const Path path : paths(Op::kQkNormRope)) {
        auto q_out = output<float>(rows.size());
        auto k_cache = output<float>(rows.size());
        auto v_cache = output<float>(rows.size());
        QkNormRopeArgs args;
        args.q = args.k = args.v = upload(rows).address;
        args.positions = upload(positions).address;
        args.q_out = q_out.address();
        args.k_cache = k_cache.address();
        args.v_cache = v_cache.address();
        args.kv_type = TensorType::kF32;
        args.n_tokens = args.n_context = kTokens;
        args.n_heads = args.n_kv_heads = 1;
        args.head_dim = kHeadDim;
        args.path = path;
        run({qk_norm_rope(context(), args)});
        EXPECT_EQ(q_out.read(), rows);
        const std::vector<float> cached = k_cache.read();
        EXPECT_EQ(v_cache.read(), cached);
        for (uint32_t t = 0; t < kTokens; ++t)
            ASSERT_EQ(cached[size_t{kTokens - 1 - t} * kHeadDim], rows[size_t{t} * kHeadDim]) << t;
    }
}

/// 80,000 tiles of 8 queries. Each sees a row of its own position only, so that its output is that row.
TEST_F(GridTest, MoreQueriesThanAGridIsWide) {
    constexpr uint32_t kTokens = 20000;
    constexpr uint32_t kHeads = 32;
    constexpr uint32_t kHeadDim = 32;
    constexpr uint32_t kContext = 4;
    std::vector<int32_t> positions(kTokens);
    for (uint32_t t = 0; t < kTokens; ++t) positions[t] = static_cast<int32_t>(t * 7 % kContext);
    std::vector<float> cache(size_t{kContext} * kHeadDim);
    for (size_t i = 0; i < cache.size(); ++i) cache[i] = static_cast<float>(i + 1);
    AttentionArgs args;
    args.q = upload(std::vector<float>(size_t{kTokens} * kHeads * kHeadDim, 0.25f)).address;
    args.k_cache = args.v_cache = upload(cache).address;
    args.positions = upload(positions).address;
    auto out = output<float>(size_t{kTokens} * kHeads * kHeadDim);
    args.out = out.address();
    args.kv_type = TensorType::kF32;
    args.n_tokens = kTokens;
    args.n_heads = kHeads;
    args.n_kv_heads = 1;
    args.head_dim = kHeadDim;
    args.n_context = kContext;
    args.window = 1;
    args.tuning = {.queries = 8, .rows = 1, .cluster = 1, .words_at_once = 1};  // soon compiled
    run(attention(context(), args));
    const std::vector<float> read = out.read();
    for (size_t i = 0; i < read.size(); ++i) {
        const auto row = static_cast<size_t>(positions[i / (kHeads * kHeadDim)]);
        ASSERT_EQ(read[i], cache[row * kHeadDim + i % kHeadDim]) << i;
    }
}

}  // namespace
}  // namespace vkmoe
