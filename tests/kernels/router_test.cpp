#include "kernels/router.h"

#include "base/error.h"
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
    EXPECT_NO_THROW(router(context(), good));
    RouterArgs grouped = good;
    grouped.n_groups = 4;
    grouped.n_groups_used = 1;
    EXPECT_NO_THROW(router(context(), grouped));
    RouterArgs looked_up = good;
    looked_up.table = 0x40000;
    looked_up.tokens = 0x50000;
    looked_up.n_table_rows = 3;
    EXPECT_NO_THROW(router(context(), looked_up));
    RouterArgs mixed = good;
    mixed.score = RouterScore::kSparseMixer;
    EXPECT_NO_THROW(router(context(), mixed));

    auto refused = [&](const RouterArgs& from, auto change) {
        RouterArgs args = from;
        change(args);
        EXPECT_THROW(router(context(), args), Error);
    };
    refused(good, [](RouterArgs& args) { args.n_experts = 513; });
    refused(good, [](RouterArgs& args) { args.n_slots = 9; });
    refused(good, [](RouterArgs& args) { args.n_slots = 0; });
    refused(good, [](RouterArgs& args) { args.ids = 0; });
    refused(good, [](RouterArgs& args) { args.n_experts = 64, args.n_slots = 33; });
    refused(good, [](RouterArgs& args) { args.selection_bias = 0x40002; });
    refused(good, [](RouterArgs& args) { args.expert_scales = 0x40002; });
    refused(grouped, [](RouterArgs& args) { args.n_slots = 3; });  // two experts a group
    refused(grouped, [](RouterArgs& args) { args.n_groups = 3; });
    refused(grouped, [](RouterArgs& args) { args.n_groups = 0; });
    refused(grouped, [](RouterArgs& args) { args.n_groups_used = 0; });
    refused(grouped, [](RouterArgs& args) { args.n_groups_used = 5; });
    refused(grouped, [](RouterArgs& args) { args.n_groups = 8, args.n_slots = 1; });  // no two best
    refused(grouped, [](RouterArgs& args) { args.n_groups = 64, args.n_experts = 128; });
    refused(looked_up, [](RouterArgs& args) { args.tokens = 0; });
    refused(looked_up, [](RouterArgs& args) { args.n_table_rows = 0; });
    refused(looked_up, [](RouterArgs& args) { args.selection_bias = 0x60000; });
    refused(looked_up, [](RouterArgs& args) { args.n_groups = 2; });
    refused(mixed, [](RouterArgs& args) { args.selection_bias = 0x60000; });
    refused(mixed, [](RouterArgs& args) { args.n_groups = 2; });
}

}  // namespace
}  // namespace vkmoe
