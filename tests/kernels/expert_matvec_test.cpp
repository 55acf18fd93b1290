#include "kernels/expert_matvec.h"

#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kExpertMatvec);

using ExpertMatvecTest = KernelTest;

TEST_F(ExpertMatvecTest, RefusesWhatDoesNotFit) {
    ExpertMatvecArgs good;
    good.type = TensorType::kQ8_0;
    good.experts = {0x10000, 4, {0x100000, 0x200000}};
    good.ids = 0x20000;
    good.x = 0x30000;
    good.y = 0x40000;
    good.n_rows = 5;
    good.n_columns = 96;
    good.n_pairs = 6;
    good.x_divisor = 2;
    const auto refused = refusing(expert_matvec, good);
    refused([](ExpertMatvecArgs& args) { args.n_pairs = 0; });
    refused([](ExpertMatvecArgs& args) { args.x_divisor = 0; });
    refused([](ExpertMatvecArgs& args) { args.x_divisor = 4; });
    refused([](ExpertMatvecArgs& args) { args.n_rows = 0; });
    refused([](ExpertMatvecArgs& args) { args.n_columns = 48; });
    refused([](ExpertMatvecArgs& args) { args.second_offset = uint64_t{1} << 32; });
}

}  // namespace
}  // namespace vkmoe
