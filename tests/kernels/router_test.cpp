#include "kernels/router.h"

#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kRouter);

using RouterTest = KernelTest;

TEST_F(RouterTest, RefusesWhatDoesNotFit) {
    RouterArgs good;
    good.logits = 0x10000;
    good.ids = 0x20000;
    good.weights = 0x30000;
    good.n_tokens = 1;
    good.n_experts = 8;
    good.n_slots = 2;
    const auto refused = refusing(router, good);
    RouterArgs grouped = good;
    grouped.n_groups = 4;
    grouped.n_groups_used = 1;
    const auto refused_grouped = refusing(router, grouped);
    RouterArgs looked_up = good;
    looked_up.table = 0x40000;
    looked_up.tokens = 0x50000;
    looked_up.n_table_rows = 3;
    const auto refused_looked_up = refusing(router, looked_up);
    RouterArgs mixed = good;
    mixed.score = RouterScore::kSparseMixer;
    const auto refused_mixed = refusing(router, mixed);

    refused([](RouterArgs& args) { args.n_experts = 513; });
    refused([](RouterArgs& args) { args.n_slots = 9; });
    refused([](RouterArgs& args) { args.n_slots = 0; });
    refused([](RouterArgs& args) { args.ids = 0; });
    refused([](RouterArgs& args) { args.n_experts = 64, args.n_slots = 33; });
    refused([](RouterArgs& args) { args.selection_bias = 0x40002; });
    refused([](RouterArgs& args) { args.expert_scales = 0x40002; });
    refused_grouped([](RouterArgs& args) { args.n_slots = 3; });  // two experts a group
    refused_grouped([](RouterArgs& args) { args.n_groups = 3; });
    refused_grouped([](RouterArgs& args) { args.n_groups = 0; });
    refused_grouped([](RouterArgs& args) { args.n_groups_used = 0; });
    refused_grouped([](RouterArgs& args) { args.n_groups_used = 5; });
    refused_grouped([](RouterArgs& args) { args.n_groups = 8, args.n_slots = 1; });  // no two best
    refused_grouped([](RouterArgs& args) { args.n_groups = 64, args.n_experts = 128; });
    refused_looked_up([](RouterArgs& args) { args.tokens = 0; });
    refused_looked_up([](RouterArgs& args) { args.n_table_rows = 0; });
    refused_looked_up([](RouterArgs& args) { args.selection_bias = 0x60000; });
    refused_looked_up([](RouterArgs& args) { args.n_groups = 2; });
    refused_mixed([](RouterArgs& args) { args.selection_bias = 0x60000; });
    refused_mixed([](RouterArgs& args) { args.n_groups = 2; });
}

}  // namespace
}  // namespace vkmoe
