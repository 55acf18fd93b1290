#include "kernels/argmax.h"

#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kArgmax);

using ArgmaxTest = KernelTest;

TEST_F(ArgmaxTest, OneOfTheDeepCases) {
    run_a_deep_case(Op::kArgmax);
}

TEST_F(ArgmaxTest, RefusesWhatDoesNotFit) {
    ArgmaxArgs good;
    good.input = 0x10000;
    good.output = 0x20000;
    good.n_rows = 1;
    good.n_columns = 3;
    const auto refused = refusing(argmax, good);
    refused([](ArgmaxArgs& args) { args.n_columns = 0; });
    refused([](ArgmaxArgs& args) { args.input += 2; });
    refused([](ArgmaxArgs& args) { args.output = 0; });
    refused([](ArgmaxArgs& args) { args.n_columns = 1u << 30; });
}

}  // namespace
}  // namespace vkmoe
