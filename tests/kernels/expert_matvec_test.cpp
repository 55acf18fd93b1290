#include "kernels/expert_matvec.h"

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
    Routing routing;
};

class ExpertMatvecTest : public MatrixTest {
  protected:
    void check(const KernelKey& cell, const Case& c, uint32_t n_columns, bool is_gated,
               bool with_nan = false) {
        SCOPED_TRACE(
            fmt::format("{}: {} experts, {} tokens of {} slots, rows by token {}, {} rows, {} "
                        "columns, routing {}, gated {}",
                        cell_name(cell), c.n_experts, c.n_tokens, c.n_slots, c.token_rows, c.n_rows,
                        n_columns, static_cast<int>(c.routing), is_gated));
        const uint32_t n_pairs = c.n_tokens * c.n_slots;
        const StoredExperts experts = upload_experts(cell.type, c.n_experts, c.n_rows, n_columns);
        const std::vector<uint32_t> ids = random_ids(random(), n_pairs, c.n_experts, c.routing);
        const uint32_t divisor = c.token_rows ? c.n_slots : 1;
        std::vector<float> rows = random_activations(random(), n_pairs / divisor, n_columns);
        if (with_nan) rows[rows.size() / 2] = std::numeric_limits<float>::quiet_NaN();
        const StoredActivations x = store_activations(cell.path, rows, n_columns);

        ExpertMatvecArgs args;
        args.type = cell.type;
        args.experts = experts.table;
        args.ids = upload(ids).address;
        args.x = upload(x.bytes).address;
        auto y = output<float>(size_t{n_pairs} * c.n_rows);
        args.y = y.address();
        args.gated = is_gated;
        args.first_offset = experts.offsets[0];
        args.second_offset = experts.offsets[1];
        args.n_rows = c.n_rows;
        args.n_columns = n_columns;
        args.n_pairs = n_pairs;
        args.x_divisor = divisor;
        args.path = cell.path;
        run({expert_matvec(context(), args)});

        std::vector<Expected> expected;
        for (uint32_t p = 0; p < n_pairs; ++p) {
            for (uint32_t r = 0; r < c.n_rows; ++r) {
                if (ids[p] >= c.n_experts) {
                    expected.push_back({0, 0, false});
                    continue;
                }
                const auto& [first, second] = experts.matrices[ids[p]];
                const Expected product = dot(first, r, x, p / divisor);
                expected.push_back(is_gated ? gated(product, dot(second, r, x, p / divisor)) : product);
            }
        }
        expect_all(expected, y.read());
    }
};

TEST_F(ExpertMatvecTest, MatchesTheReference) {
    for (const KernelKey& cell : cells(Op::kExpertMatvec)) {
        const std::vector<uint32_t> columns = test_columns(cell.type);
        size_t turn = random()();
        for (bool is_gated : {false, true}) {
            for (const Case& c :
                 {Case{1, 1, 1, true, 257, Routing::kAny}, Case{5, 3, 4, true, 33, Routing::kAny},
                  Case{5, 3, 4, false, 31, Routing::kInvalid}, Case{64, 2, 8, true, 9, Routing::kInvalid},
                  Case{64, 1, 8, false, 3, Routing::kAny}, Case{5, 7, 2, true, 1, Routing::kOne}}) {
                const uint32_t n_columns = columns[turn++ % columns.size()];
                check(cell, c, c.n_experts == 64 ? std::min(n_columns, 256u) : n_columns, is_gated);
            }
        }
    }
}

TEST_F(ExpertMatvecTest, EveryNumberOfColumns) {
    for (const KernelKey& cell : cells(Op::kExpertMatvec))
        for (uint32_t n_columns : test_columns(cell.type))
            check(cell, {3, 2, 2, true, 7, Routing::kAny}, n_columns, random_below(random(), 2) == 0);
}

TEST_F(ExpertMatvecTest, NanStaysInItsToken) {
    for (const KernelKey& cell : cells(Op::kExpertMatvec))
        for (bool is_gated : {false, true})
            check(cell, {5, 3, 4, true, 35, Routing::kAny}, 256, is_gated, true);
}

TEST_F(ExpertMatvecTest, RefusesWhatDoesNotFit) {
    ExpertMatvecArgs good;
    good.type = TensorType::kQ4_0;
    good.experts = {0x10000, 4, {0x100000, 0x200000}};
    good.ids = 0x20000;
    good.x = 0x30000;
    good.y = 0x40000;
    good.n_rows = 5;
    good.n_columns = 96;
    good.n_pairs = 6;
    good.x_divisor = 2;
    EXPECT_NO_THROW(expert_matvec(context(), good));
    auto refused = [&](auto change) {
        ExpertMatvecArgs args = good;
        change(args);
        EXPECT_THROW(expert_matvec(context(), args), Error);
    };
    refused([](ExpertMatvecArgs& args) { args.n_pairs = 0; });
    refused([](ExpertMatvecArgs& args) { args.n_pairs = 65536; });
    refused([](ExpertMatvecArgs& args) { args.x_divisor = 0; });
    refused([](ExpertMatvecArgs& args) { args.x_divisor = 4; });
    refused([](ExpertMatvecArgs& args) { args.n_rows = 0; });
    refused([](ExpertMatvecArgs& args) { args.n_columns = 48; });
    refused([](ExpertMatvecArgs& args) { args.second_offset = uint64_t{1} << 32; });
}

}  // namespace
}  // namespace vkmoe
