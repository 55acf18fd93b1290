#include "kernels/expert_matmul.h"

#include "base/error.h"
#include "kernels/quantized_matrix.h"

namespace vkmoe {
namespace {

struct Case {
    uint32_t n_experts;
    uint32_t n_tokens;
    uint32_t n_slots;
    bool token_rows;  // one row of activations a token, else one a pair
    uint32_t n_rows;
    uint32_t n_columns;
    Routing routing;
};

class ExpertMatmulTest : public MatrixTest {
  protected:
    /// Pairs as group_routes sorts them, for a first dispatch over two matrices and a second one over one.
    GroupedRoutes group(uint64_t ids, const Case& c, uint32_t n_pairs) {
        const uint32_t tile_tokens = expert_tile_tokens(context().plan());
        GroupRoutesArgs args;
        args.ids = ids;
        args.grouped.pairs = output<uint32_t>(n_pairs).memory();
        args.grouped.tiles =
            output<std::array<uint32_t, 4>>(max_route_tiles(n_pairs, c.n_experts, tile_tokens)).memory();
        args.grouped.arguments = output<uint32_t>(6).memory();
        args.n_pairs = n_pairs;
        args.n_experts = c.n_experts;
        args.tile_tokens = tile_tokens;
        args.first_y = args.second_y = expert_tile_rows(context().plan(), c.n_rows);
        args.first_z = 2;
        args.second_z = 1;
        run({group_routes(context(), args)});
        return args.grouped;
    }

    void check(const KernelKey& cell, const Case& c, bool with_nan = false) {
        const uint32_t n_pairs = c.n_tokens * c.n_slots;
        const StoredExperts experts = upload_experts(cell.type, c.n_experts, c.n_rows, c.n_columns);
        const std::vector<uint32_t> ids = random_ids(random(), n_pairs, c.n_experts, c.routing);
        const uint32_t divisor = c.token_rows ? c.n_slots : 1;
        std::vector<float> rows = random_activations(random(), n_pairs / divisor, c.n_columns);
        if (with_nan) rows[rows.size() / 2] = std::numeric_limits<float>::quiet_NaN();
        const StoredActivations x = store_activations(cell.path, rows, c.n_columns);

        ExpertMatmulArgs args;
        args.type = cell.type;
        args.experts = experts.table;
        args.ids = upload(ids).address;
        args.grouped = group(args.ids, c, n_pairs);
        args.x = upload(x.bytes).address;
        args.first_offset = experts.offsets[0];
        args.second_offset = experts.offsets[1];
        args.n_rows = c.n_rows;
        args.n_columns = c.n_columns;
        args.n_pairs = n_pairs;
        args.x_divisor = divisor;
        args.path = cell.path;
        for (bool second_dispatch : {false, true}) {
            SCOPED_TRACE(fmt::format(
                "{}: {} experts, {} tokens of {} slots, rows by token {}, {} rows, {} "
                "columns, routing {}, {} matrices",
                cell_name(cell), c.n_experts, c.n_tokens, c.n_slots, c.token_rows, c.n_rows, c.n_columns,
                static_cast<int>(c.routing), second_dispatch ? "one of two" : "two"));
            auto first_y = output<float>(size_t{n_pairs} * c.n_rows);
            auto second_y = output<float>(size_t{n_pairs} * c.n_rows);
            args.second_dispatch = second_dispatch;
            args.first_y = first_y.address();
            args.second_y = second_dispatch ? 0 : second_y.address();
            run(expert_matmul(context(), args));
            expect_all(expected(experts, ids, x, divisor, 0), first_y.read());
            if (!second_dispatch) expect_all(expected(experts, ids, x, divisor, 1), second_y.read());
        }
    }

    static std::vector<Expected> expected(const StoredExperts& experts, const std::vector<uint32_t>& ids,
                                          const StoredActivations& x, uint32_t divisor, size_t which) {
        const uint32_t n_rows = experts.matrices[0][which].n_rows;
        std::vector<Expected> result;
        for (uint32_t p = 0; p < ids.size(); ++p) {
            for (uint32_t r = 0; r < n_rows; ++r) {
                result.push_back(ids[p] >= experts.matrices.size()
                                     ? Expected{0, 0, false}
                                     : dot(experts.matrices[ids[p]][which], r, x, p / divisor));
            }
        }
        return result;
    }
};

TEST_F(ExpertMatmulTest, MatchesTheReference) {
    for (const KernelKey& cell : cells(Op::kExpertMatmul)) {
        const std::vector<uint32_t> columns = test_columns(cell.type);
        size_t turn = random()();
        for (Case c :
             {Case{1, 1, 1, true, 1, 0, Routing::kAny}, Case{1, 70, 1, true, 33, 0, Routing::kAny},
              Case{5, 9, 4, true, 100, 0, Routing::kInvalid}, Case{5, 9, 4, false, 31, 0, Routing::kAny},
              Case{64, 33, 8, true, 3, 256, Routing::kAny}, Case{64, 9, 8, false, 35, 256, Routing::kOne}}) {
            if (c.n_columns == 0) c.n_columns = columns[turn++ % columns.size()];
            check(cell, c);
        }
    }
}

TEST_F(ExpertMatmulTest, EveryNumberOfColumns) {
    for (const KernelKey& cell : cells(Op::kExpertMatmul))
        for (uint32_t n_columns : test_columns(cell.type))
            check(cell, {3, 7, 3, true, 7, n_columns, Routing::kInvalid});
}

TEST_F(ExpertMatmulTest, NanStaysInItsToken) {
    for (const KernelKey& cell : cells(Op::kExpertMatmul))
        check(cell, {3, 15, 4, true, 33, 256, Routing::kAny}, true);
}

TEST_F(ExpertMatmulTest, MorePairsThanOneDimensionOfAGrid) {
    for (const KernelKey& cell : cells(Op::kExpertMatmul))
        if (cell.type == TensorType::kQ8_0) check(cell, {7, 8250, 8, true, 1, 32, Routing::kInvalid});
}

TEST_F(ExpertMatmulTest, RefusesWhatDoesNotFit) {
    ExpertMatmulArgs good;
    good.type = TensorType::kQ4_0;
    good.experts = {0x10000, 4, {0x100000, 0x200000}};
    good.ids = 0x20000;
    good.grouped = group(upload(std::vector<uint32_t>(6, 0)).address, {4, 3, 2, true, 5, 96, {}}, 6);
    good.x = 0x30000;
    good.first_y = 0x40000;
    good.n_rows = 5;
    good.n_columns = 96;
    good.n_pairs = 6;
    good.x_divisor = 2;
    EXPECT_NO_THROW(expert_matmul(context(), good));
    auto refused = [&](auto change) {
        ExpertMatmulArgs args = good;
        change(args);
        EXPECT_THROW(expert_matmul(context(), args), Error);
    };
    refused([](ExpertMatmulArgs& args) { args.n_pairs = 0; });
    refused([](ExpertMatmulArgs& args) { args.x_divisor = 0; });
    refused([](ExpertMatmulArgs& args) { args.x_divisor = 4; });
    refused([](ExpertMatmulArgs& args) { args.n_rows = 0; });
    refused([](ExpertMatmulArgs& args) { args.n_columns = 48; });
    refused([](ExpertMatmulArgs& args) { args.first_offset = uint64_t{1} << 32; });
}

}  // namespace
}  // namespace vkmoe
