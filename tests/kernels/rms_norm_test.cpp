#include "kernels/rms_norm.h"

#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kRmsNorm);

using RmsNormTest = KernelTest;

TEST_F(RmsNormTest, OneOfTheDeepCases) {
    run_a_deep_case(Op::kRmsNorm);
}

TEST_F(RmsNormTest, RefusesWhatDoesNotFit) {
    RmsNormArgs good;
    good.input = 0x10000;
    good.output = 0x20000;
    good.n_rows = 1;
    good.n_columns = 36;
    const auto refused = refusing(rms_norm, good);
    refused([](RmsNormArgs& args) { args.output = 0; });
    refused([](RmsNormArgs& args) { args.input = 0; });
    refused([](RmsNormArgs& args) { args.input += 4; });
    refused([](RmsNormArgs& args) { args.n_columns = 34; });
    refused([](RmsNormArgs& args) { args.n_rows = 0; });
    refused([](RmsNormArgs& args) { args.input_stride = 32; });
    refused([](RmsNormArgs& args) { args.output_q8 = 0x30000; });  // 36 columns are no whole blocks
}

}  // namespace
}  // namespace vkmoe
