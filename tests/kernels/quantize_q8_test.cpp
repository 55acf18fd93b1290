#include "kernels/quantize_q8.h"

#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kQuantizeQ8);

using QuantizeQ8Test = KernelTest;

TEST_F(QuantizeQ8Test, OneOfTheDeepCases) {
    run_a_deep_case(Op::kQuantizeQ8);
}

TEST_F(QuantizeQ8Test, RefusesWhatDoesNotFit) {
    QuantizeQ8Args good;
    good.input = 0x10000;
    good.output = 0x20000;
    good.n_rows = 1;
    good.n_columns = 32;
    const auto refused = refusing(quantize_q8, good);
    refused([](QuantizeQ8Args& args) { args.n_columns = 48; });
    refused([](QuantizeQ8Args& args) { args.output += 8; });
    refused([](QuantizeQ8Args& args) { args.input_stride = 33; });
    refused([](QuantizeQ8Args& args) { args.tuning.lanes_per_block = 16; });
    refused([](QuantizeQ8Args& args) { args.n_rows = args.n_columns = 1u << 31; });
}

}  // namespace
}  // namespace vkmoe
