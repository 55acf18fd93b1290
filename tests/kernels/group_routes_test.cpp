#include "kernels/group_routes.h"

#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kGroupRoutes);

using GroupRoutesTest = KernelTest;

TEST_F(GroupRoutesTest, OneOfTheDeepCases) {
    run_a_deep_case(Op::kGroupRoutes);
}

TEST_F(GroupRoutesTest, RefusesWhatDoesNotFit) {
    auto pairs = output<uint32_t>(10);
    auto tiles = output<uint32_t>(4 * size_t{max_route_tiles(10, 4, 4)});
    auto arguments = output<uint32_t>(kTileDispatches * 3);
    GroupRoutesArgs good;
    good.ids = 0x10000;
    good.grouped = {pairs.memory(), tiles.memory(), arguments.memory()};
    good.n_pairs = 10;
    good.n_experts = 4;
    good.tile_tokens = 4;
    const auto refused = refusing(group_routes, good);
    refused([](GroupRoutesArgs& args) { args.n_pairs = 0; });
    refused([](GroupRoutesArgs& args) { args.n_experts = 0; });
    refused([](GroupRoutesArgs& args) { args.n_experts = 513; });
    refused([](GroupRoutesArgs& args) { args.tile_tokens = 0; });
    refused([](GroupRoutesArgs& args) { args.grouped.pairs.size -= 4; });
    refused([](GroupRoutesArgs& args) { args.grouped.tiles.size -= 16; });
    refused([](GroupRoutesArgs& args) { args.grouped.arguments.size -= 4; });
}

}  // namespace
}  // namespace vkmoe
