#include "kernels/matvec.h"

#include "base/error.h"
#include "kernels/matrix_product_test.h"
#include "kernels/quantize_q8.h"

namespace vkmoe {
namespace {

class MatvecTest : public MatrixProductTest {};

// A number of tokens is a pipeline of its own, which costs more than all runs of it: each cell has one and
// three in the tests below, and here one of the others.
TEST_F(MatvecTest, EveryNumberOfTokens) {
    static_assert(kMaxMatvecTokens == 8);
    constexpr std::array<uint32_t, 6> kTokens = {2, 4, 5, 6, 7, 8};
    size_t turn = random()();
    for (const KernelKey& cell : cells(Op::kMatvec)) {
        const uint32_t n_tokens = kTokens[turn++ % kTokens.size()];
        for (uint32_t n_columns : test_columns(cell.type))
            check(matvec, cell, {33, n_columns, n_tokens, pick_residual()});
    }
}

TEST_F(MatvecTest, EveryShape) {
    constexpr std::array<uint32_t, 6> kRows = {1, 3, 31, 33, 100, 257};
    for (const KernelKey& cell : cells(Op::kMatvec)) {
        for (uint32_t n_columns : test_columns(cell.type)) {
            // Each number of columns by half of the numbers of rows, alternately for one token and three.
            for (size_t i = random_below(random(), 2); i < kRows.size(); i += 2)
                check(matvec, cell,
                      {kRows[i], n_columns, random_below(random(), 2) == 0 ? 1u : 3u, pick_residual()});
        }
    }
}

TEST_F(MatvecTest, EveryResidual) {
    for (const KernelKey& cell : cells(Op::kMatvec))
        for (Residual residual : {Residual::kNone, Residual::kApart, Residual::kInPlace})
            for (uint32_t n_tokens : {1u, 3u}) check(matvec, cell, {37, 256, n_tokens, residual});
}

TEST_F(MatvecTest, NanStaysInItsToken) {
    for (const KernelKey& cell : cells(Op::kMatvec)) check_nan(matvec, cell, 33, 3);
}

TEST_F(MatvecTest, RoundedActivationsAreNearEnough) {
    for (const KernelKey& cell : cells(Op::kMatvec)) {
        if (cell.path != Path::kDot4) continue;
        SCOPED_TRACE(cell_name(cell));
        const StoredMatrix weights = random_matrix(random(), cell.type, 100, 768);
        const std::vector<float> rows = random_activations(random(), 3, 768);
        const StoredActivations x = store_activations(Path::kSubgroup, rows, 768);  // unrounded

        QuantizeQ8Args quantize;
        auto packed = output<std::byte>(3 * q8_row_bytes(768));
        quantize.input = upload(rows).address;
        quantize.output = packed.address();
        quantize.n_rows = 3;
        quantize.n_columns = 768;
        MatmulArgs args;
        args.type = cell.type;
        args.weights = upload_matrix(cell.type, weights, false);
        args.x = packed.address();
        auto y = output<float>(3 * 100);
        args.y = y.address();
        args.n_rows = 100;
        args.n_columns = 768;
        args.n_tokens = 3;
        args.path = cell.path;
        run({quantize_q8(context(), quantize), matvec(context(), args)});

        std::vector<double> expected;
        for (uint32_t t = 0; t < 3; ++t)
            for (uint32_t r = 0; r < 100; ++r) expected.push_back(dot(weights, r, x, t).value);
        EXPECT_LE(nmse(expected, y.read()), 5e-4);
    }
}

TEST_F(MatvecTest, RefusesWhatDoesNotFit) {
    MatmulArgs good;
    good.type = TensorType::kQ4_0;
    good.weights = 0x10000;
    good.x = 0x20000;
    good.y = 0x30000;
    good.n_rows = 5;
    good.n_columns = 96;
    good.n_tokens = 1;
    EXPECT_NO_THROW(matvec(context(), good));
    auto refused = [&](auto change) {
        MatmulArgs args = good;
        change(args);
        EXPECT_THROW(matvec(context(), args), Error);
    };
    refused([](MatmulArgs& args) { args.n_tokens = 0; });
    refused([](MatmulArgs& args) { args.n_tokens = kMaxMatvecTokens + 1; });
    refused([](MatmulArgs& args) { args.n_rows = 0; });
    refused([](MatmulArgs& args) { args.n_columns = 0; });
    refused([](MatmulArgs& args) { args.n_columns = 80; });
    refused([](MatmulArgs& args) { args.type = TensorType::kQ4_K; });  // 96 columns are no whole block
    refused([](MatmulArgs& args) { args.type = TensorType::kF32, args.path = Path::kDot4; });
}

}  // namespace
}  // namespace vkmoe
