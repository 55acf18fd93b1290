#include "kernels/combine.h"

#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kCombine);

using CombineTest = KernelTest;

TEST_F(CombineTest, RefusesWhatDoesNotFit) {
    CombineArgs good;
    good.expert_output = 0x10000;
    good.weights = 0x20004;
    good.output = 0x30000;
    good.n_tokens = 1;
    good.n_slots = 2;
    good.n_columns = 4;
    const auto refused = refusing(combine, good);
    CombineArgs shared = good;
    shared.n_slots = 0;
    shared.expert_output = 0;
    shared.shared_output = 0x50000;
    shared.shared_gate = 0x60004;
    const auto refused_shared = refusing(combine, shared);

    refused([](CombineArgs& args) { args.n_columns = 6; });
    refused([](CombineArgs& args) { args.n_slots = 0; });
    refused([](CombineArgs& args) { args.residual = 0x40004; });
    refused([](CombineArgs& args) { args.weights = 0x20002; });
    refused([](CombineArgs& args) { args.expert_output = 0; });
    refused([](CombineArgs& args) { args.shared_gate = 0x60000; });
    refused_shared([](CombineArgs& args) { args.shared_output = 0; });
    refused_shared([](CombineArgs& args) { args.n_slots = 1; });
    refused_shared([](CombineArgs& args) { args.shared_output = 0x50004; });
}

}  // namespace
}  // namespace vkmoe
