#include "kernels/expert_matvec_sum.h"

#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kExpertMatvecSum);

using ExpertMatvecSumTest = KernelTest;

TEST_F(ExpertMatvecSumTest, RefusesWhatDoesNotFit) {
    ExpertMatvecSumArgs good;
    good.type = TensorType::kQ8_0;
    good.experts = {0x10000, 4, {0x100000, 0x200000}};
    good.ids = 0x20000;
    good.weights = 0x28000;
    good.x = 0x30000;
    good.y = 0x40000;
    good.n_rows = 5;
    good.n_columns = 96;
    good.n_tokens = 3;
    good.n_slots = 2;
    const auto refused = refusing(expert_matvec_sum, good);
    refused([](ExpertMatvecSumArgs& args) { args.n_tokens = 0; });
    refused([](ExpertMatvecSumArgs& args) { args.n_slots = 0; });
    refused([](ExpertMatvecSumArgs& args) { args.n_rows = 0; });
    refused([](ExpertMatvecSumArgs& args) { args.n_columns = 48; });
    refused([](ExpertMatvecSumArgs& args) { args.offset = uint64_t{1} << 32; });
}

}  // namespace
}  // namespace vkmoe
