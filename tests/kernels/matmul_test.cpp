#include "kernels/matmul.h"

#include "conformance/matrix_product.h"
#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kMatmul);

using MatmulTest = KernelTest;

TEST_F(MatmulTest, LinearTakesAnyNumberOfTokens) {
    const KernelKey cell{Op::kMatmul, TensorType::kQ8_0, Path::kScalar};
    for (uint32_t n_tokens : {1u, kMaxMatvecTokens, kMaxMatvecTokens + 1})
        conformance::check_product(test_case(), conformance::linear_product, cell, {5, 96, n_tokens});
}

TEST_F(MatmulTest, RefusesWhatDoesNotFit) {
    for (Path path : paths(Op::kMatmul, TensorType::kQ4_K)) {
        SCOPED_TRACE(path_name(path));
        MatmulArgs good;
        good.type = TensorType::kQ4_K;
        good.path = path;
        good.weights = 0x10000;
        good.x = 0x20000;
        good.y = 0x30000;
        good.n_rows = 5;
        good.n_columns = 512;
        good.n_tokens = 9;
        const auto refused = refusing(matmul, good);
        refused([](MatmulArgs& args) { args.n_tokens = 0; });
        refused([](MatmulArgs& args) { args.n_rows = 0; });
        refused([](MatmulArgs& args) { args.n_columns = 0; });
        refused([](MatmulArgs& args) { args.n_columns = 128; });
        refused([](MatmulArgs& args) { args.n_tokens = UINT32_MAX; });
    }
}

}  // namespace
}  // namespace vkmoe
