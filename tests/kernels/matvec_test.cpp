#include "kernels/matvec.h"

#include "conformance/matrix_product.h"
#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kMatvec);

using MatvecTest = KernelTest;

TEST_F(MatvecTest, TakesMoreTokensThanDecodeHas) {
    const auto product = [](KernelContext& context, const MatmulArgs& args) {
        return std::vector<Dispatch>{matvec(context, args)};
    };
    for (Path path : paths(Op::kMatvec, TensorType::kQ4_K)) {
        if (path == Path::kScalar) continue;  // takes 8 at most
        for (uint32_t n_tokens : {9u, 11u, 13u, kMaxMatvecTokens})
            conformance::check_product(test_case(), product, {Op::kMatvec, TensorType::kQ4_K, path},
                                       {5, 512, n_tokens});
    }
}

TEST_F(MatvecTest, RefusesWhatDoesNotFit) {
    MatmulArgs good;
    good.type = TensorType::kQ8_0;
    good.weights = 0x10000;
    good.x = 0x20000;
    good.y = 0x30000;
    good.n_rows = 5;
    good.n_columns = 96;
    good.n_tokens = 1;
    const auto refused = refusing(matvec, good);
    refused([](MatmulArgs& args) { args.n_tokens = 0; });
    refused([](MatmulArgs& args) { args.n_tokens = kMaxMatvecTokens + 1; });
    refused([](MatmulArgs& args) { args.n_rows = 0; });
    refused([](MatmulArgs& args) { args.n_columns = 0; });
    refused([](MatmulArgs& args) { args.n_columns = 80; });
    refused([](MatmulArgs& args) { args.weights += 1; });
    refused([](MatmulArgs& args) { args.type = TensorType::kQ4_K; });  // 96 columns are no whole block
    refused([](MatmulArgs& args) { args.type = TensorType::kF32, args.path = Path::kDot4; });
}

}  // namespace
}  // namespace vkmoe
