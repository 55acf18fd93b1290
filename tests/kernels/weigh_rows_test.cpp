#include "kernels/weigh_rows.h"

#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kWeighRows);

using WeighRowsTest = KernelTest;

TEST_F(WeighRowsTest, RefusesWhatDoesNotFit) {
    WeighRowsArgs good;
    good.input = 0x10000;
    good.weights = 0x20004;
    good.output = 0x30000;
    good.n_tokens = 1;
    good.n_slots = 2;
    good.n_columns = 36;
    const auto refused = refusing(weigh_rows, good);
    refused([](WeighRowsArgs& args) { args.input = 0; });
    refused([](WeighRowsArgs& args) { args.weights = 0; });
    refused([](WeighRowsArgs& args) { args.output = 0; });
    refused([](WeighRowsArgs& args) { args.output_q8 = 0x40000; });  // no whole blocks
    refused([](WeighRowsArgs& args) { args.n_columns = 37; });
    refused([](WeighRowsArgs& args) { args.n_slots = 0; });
    refused([](WeighRowsArgs& args) { args.n_tokens = 0; });
    refused([](WeighRowsArgs& args) { args.input_stride = 32; });
}

}  // namespace
}  // namespace vkmoe
