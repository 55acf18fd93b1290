#include "kernels/expert_matvec_sum.h"

#include "base/error.h"
#include "kernels/quantized_matrix.h"

namespace vkmoe {
namespace {

enum class Residual { kNone, kApart, kInPlace };

struct Case {
    uint32_t n_experts;
    uint32_t n_tokens;
    uint32_t n_slots;
    uint32_t n_rows;
    Routing routing;
    Residual residual;
};

class ExpertMatvecSumTest : public MatrixTest {
  protected:
    void check(const KernelKey& cell, const Case& c, uint32_t n_columns, bool with_nan = false) {
        SCOPED_TRACE(
            fmt::format("{}: {} experts, {} tokens of {} slots, {} rows, {} columns, routing {}, residual {}",
                        cell_name(cell), c.n_experts, c.n_tokens, c.n_slots, c.n_rows, n_columns,
                        static_cast<int>(c.routing), static_cast<int>(c.residual)));
        const uint32_t n_pairs = c.n_tokens * c.n_slots;
        const StoredExperts experts = upload_experts(cell.type, c.n_experts, c.n_rows, n_columns);
        const std::vector<uint32_t> ids = random_ids(random(), n_pairs, c.n_experts, c.routing);
        std::vector<float> rows = random_activations(random(), n_pairs, n_columns);
        if (with_nan) rows[rows.size() / 2] = std::numeric_limits<float>::quiet_NaN();
        const StoredActivations x = store_activations(cell.path, rows, n_columns);
        const std::vector<float> weights = random_activations(random(), c.n_tokens, c.n_slots);
        const std::vector<float> residual = random_activations(random(), c.n_tokens, c.n_rows);

        ExpertMatvecSumArgs args;
        args.type = cell.type;
        args.experts = experts.table;
        args.ids = upload(ids).address;
        args.weights = upload(weights).address;
        args.x = upload(x.bytes).address;
        auto y = output<float>(residual.size());
        args.y = y.address();
        if (c.residual == Residual::kApart) args.residual = upload(residual).address;
        if (c.residual == Residual::kInPlace) {
            y.fill(residual);
            args.residual = args.y;
        }
        args.offset = experts.offsets[0];
        args.n_rows = c.n_rows;
        args.n_columns = n_columns;
        args.n_tokens = c.n_tokens;
        args.n_slots = c.n_slots;
        args.path = cell.path;
        run({expert_matvec_sum(context(), args)});

        std::vector<Expected> expected;
        for (uint32_t t = 0; t < c.n_tokens; ++t) {
            for (uint32_t r = 0; r < c.n_rows; ++r) {
                Expected sum;
                if (c.residual != Residual::kNone) sum.value = residual[size_t{t} * c.n_rows + r];
                sum.magnitude = std::abs(sum.value);
                for (uint32_t p = t * c.n_slots; p < (t + 1) * c.n_slots; ++p) {
                    if (ids[p] >= c.n_experts) continue;
                    const Expected product = dot(experts.matrices[ids[p]][0], r, x, p);
                    sum.value += weights[p] * product.value;
                    sum.magnitude += std::abs(weights[p]) * product.magnitude;
                }
                expected.push_back(sum);
            }
        }
        expect_all(expected, y.read());
    }
};

TEST_F(ExpertMatvecSumTest, MatchesTheReference) {
    for (const KernelKey& cell : cells(Op::kExpertMatvecSum)) {
        const std::vector<uint32_t> columns = test_columns(cell.type);
        size_t turn = random()();
        for (const Case& c : {Case{1, 1, 1, 257, Routing::kAny, Residual::kNone},
                              Case{5, 3, 4, 33, Routing::kAny, Residual::kApart},
                              Case{5, 3, 4, 31, Routing::kInvalid, Residual::kInPlace},
                              Case{64, 2, 8, 9, Routing::kInvalid, Residual::kNone},
                              Case{64, 1, 8, 3, Routing::kAny, Residual::kInPlace},
                              Case{5, 7, 2, 1, Routing::kOne, Residual::kApart}}) {
            const uint32_t n_columns = columns[turn++ % columns.size()];
            check(cell, c, c.n_experts == 64 ? std::min(n_columns, 256u) : n_columns);
        }
    }
}

TEST_F(ExpertMatvecSumTest, EveryNumberOfColumns) {
    for (const KernelKey& cell : cells(Op::kExpertMatvecSum))
        for (uint32_t n_columns : test_columns(cell.type))
            check(cell, {3, 2, 3, 7, Routing::kAny, Residual::kApart}, n_columns);
}

TEST_F(ExpertMatvecSumTest, NanStaysInItsToken) {
    for (const KernelKey& cell : cells(Op::kExpertMatvecSum))
        check(cell, {5, 3, 4, 35, Routing::kAny, Residual::kApart}, 256, true);
}

TEST_F(ExpertMatvecSumTest, RefusesWhatDoesNotFit) {
    ExpertMatvecSumArgs good;
    good.type = TensorType::kQ4_0;
    good.experts = {0x10000, 4, {0x100000, 0x200000}};
    good.ids = 0x20000;
    good.weights = 0x28000;
    good.x = 0x30000;
    good.y = 0x40000;
    good.n_rows = 5;
    good.n_columns = 96;
    good.n_tokens = 3;
    good.n_slots = 2;
    EXPECT_NO_THROW(expert_matvec_sum(context(), good));
    auto refused = [&](auto change) {
        ExpertMatvecSumArgs args = good;
        change(args);
        EXPECT_THROW(expert_matvec_sum(context(), args), Error);
    };
    refused([](ExpertMatvecSumArgs& args) { args.n_tokens = 0; });
    refused([](ExpertMatvecSumArgs& args) { args.n_tokens = 65536; });
    refused([](ExpertMatvecSumArgs& args) { args.n_slots = 0; });
    refused([](ExpertMatvecSumArgs& args) { args.n_rows = 0; });
    refused([](ExpertMatvecSumArgs& args) { args.n_columns = 48; });
    refused([](ExpertMatvecSumArgs& args) { args.offset = uint64_t{1} << 32; });
}

}  // namespace
}  // namespace vkmoe
