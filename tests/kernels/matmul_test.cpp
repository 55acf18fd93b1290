#include "kernels/matmul.h"

#include "base/error.h"
#include "kernels/matrix_product_test.h"

namespace vkmoe {
namespace {

class MatmulTest : public MatrixProductTest {};

TEST_F(MatmulTest, EveryShape) {
    constexpr std::array<uint32_t, 6> kRows = {1, 3, 31, 33, 100, 257};
    constexpr std::array<uint32_t, 6> kTokens = {1, 7, 9, 31, 33, 70};
    for (const KernelKey& cell : cells(Op::kMatmul)) {
        const std::vector<uint32_t> columns = test_columns(cell.type);
        const size_t turn = random()();  // which of the shapes meet
        for (size_t i = 0; i < 8; ++i) {
            check(matmul, cell,
                  {kRows[i % 6], columns[i % columns.size()], kTokens[(i + turn) % 6], pick_residual()});
        }
    }
}

TEST_F(MatmulTest, EveryResidual) {
    for (const KernelKey& cell : cells(Op::kMatmul))
        for (Residual residual : {Residual::kNone, Residual::kApart, Residual::kInPlace})
            check(matmul, cell, {37, 256, 41, residual});
}

TEST_F(MatmulTest, NanStaysInItsToken) {
    for (const KernelKey& cell : cells(Op::kMatmul)) check_nan(matmul, cell, 33, 35);
}

TEST_F(MatmulTest, LinearTakesAnyNumberOfTokens) {
    const KernelKey cell = context().kernel(Op::kMatvec, TensorType::kQ8_0).key;
    ASSERT_EQ(cell.path, context().kernel(Op::kMatmul, TensorType::kQ8_0).key.path)
        << "activations would have to be stored in two ways";
    for (uint32_t n_tokens : {1u, kMaxMatvecTokens, kMaxMatvecTokens + 1})
        check(linear, cell, {5, 96, n_tokens, Residual::kNone});
}

TEST_F(MatmulTest, RefusesWhatDoesNotFit) {
    for (const KernelKey& cell : cells(Op::kMatmul)) {
        if (cell.type != TensorType::kQ6_K) continue;
        MatmulArgs good;
        good.type = cell.type;
        good.path = cell.path;
        good.weights = 0x10000;
        good.x = 0x20000;
        good.y = 0x30000;
        good.n_rows = 5;
        good.n_columns = 512;
        good.n_tokens = 9;
        EXPECT_NO_THROW(matmul(context(), good));
        auto refused = [&](auto change) {
            MatmulArgs args = good;
            change(args);
            EXPECT_THROW(matmul(context(), args), Error) << path_name(cell.path);
        };
        refused([](MatmulArgs& args) { args.n_tokens = 0; });
        refused([](MatmulArgs& args) { args.n_rows = 0; });
        refused([](MatmulArgs& args) { args.n_columns = 0; });
        refused([](MatmulArgs& args) { args.n_columns = 128; });
        refused([](MatmulArgs& args) { args.n_tokens = UINT32_MAX; });
    }
}

}  // namespace
}  // namespace vkmoe
