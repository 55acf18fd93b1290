#include "kernels/swiglu.h"

#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kSwiglu);

using SwigluTest = KernelTest;

TEST_F(SwigluTest, OneOfTheDeepCases) {
    run_a_deep_case(Op::kSwiglu);
}

TEST_F(SwigluTest, RefusesWhatDoesNotFit) {
    SwigluArgs good;
    good.gate = 0x10000;
    good.up = 0x20000;
    good.output = 0x30000;
    good.n_rows = 1;
    good.n_columns = 36;
    const auto refused = refusing(swiglu, good);
    refused([](SwigluArgs& args) { args.output = 0; });
    refused([](SwigluArgs& args) { args.up = 0; });
    refused([](SwigluArgs& args) { args.n_columns = 37; });
    refused([](SwigluArgs& args) { args.up_stride = 32; });
    refused([](SwigluArgs& args) { args.output_q8 = 0x40000; });
    refused([](SwigluArgs& args) { args.rows.ids = 0x50002; });
}

}  // namespace
}  // namespace vkmoe
