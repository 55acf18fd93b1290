#include "kernels/pack_float16.h"

#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kPackFloat16);

using PackFloat16Test = KernelTest;

TEST_F(PackFloat16Test, OneOfTheDeepCases) {
    run_a_deep_case(Op::kPackFloat16);
}

TEST_F(PackFloat16Test, RefusesWhatDoesNotFit) {
    PackFloat16Args good;
    good.input = 0x10000;
    good.output = 0x20000;
    good.n_rows = 1;
    good.n_columns = 64;
    const auto refused = refusing(pack_float16, good);
    refused([](PackFloat16Args& args) { args.output = 0; });
    refused([](PackFloat16Args& args) { args.input = 0x10004; });
    refused([](PackFloat16Args& args) { args.n_columns = 48; });
    refused([](PackFloat16Args& args) { args.input_stride = 32; });
    refused([](PackFloat16Args& args) { args.rows.ids = 0x50002; });
}

}  // namespace
}  // namespace vkmoe
