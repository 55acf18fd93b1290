#include "kernels/group_routes.h"

#include "base/error.h"
#include "kernels/grid.h"

#include <algorithm>

#include "routing/params.h"

namespace vkmoe {

namespace {
constexpr uint32_t kMaxExperts = 512;  // three words of shared memory for each
}

uint32_t max_route_tiles(uint32_t n_pairs, uint32_t n_experts, uint32_t tile_tokens) {
    return n_pairs / tile_tokens + std::min(n_experts, n_pairs);
}

Dispatch group_routes(KernelContext& context, const GroupRoutesArgs& args) {
    if (args.n_experts == 0 || args.n_experts > kMaxExperts || args.n_pairs == 0 || args.tile_tokens == 0) {
        fail(ErrorCode::kInvalidArgument,
             "group_routes: {} pairs over {} experts in tiles of {}; at most {} experts", args.n_pairs,
             args.n_experts, args.tile_tokens, kMaxExperts);
    }
    const uint32_t most_tiles = max_route_tiles(args.n_pairs, args.n_experts, args.tile_tokens);
    // The device folds; the largest grid that it may come to must fit.
    uint32_t tiles_as_rows = 0;
    for (uint32_t i = 0; i < kTileDispatches; ++i) {
        const TileGrid& grid = args.grids[i];
        static_cast<void>(folded_grid(context, Op::kExpertMatmul,
                                      grid.tiles_as_rows ? grid.groups : most_tiles,
                                      grid.tiles_as_rows ? most_tiles : grid.groups));
        tiles_as_rows |= (grid.tiles_as_rows ? 1u : 0u) << i;
    }
    uint64_t pairs_bytes = uint64_t{args.n_pairs} * sizeof(uint32_t);
    uint64_t tiles_bytes = uint64_t{most_tiles} * 16;
    uint64_t arguments_bytes = kTileDispatches * 3 * sizeof(uint32_t);
    if (args.grouped.pairs.size < pairs_bytes || args.grouped.tiles.size < tiles_bytes ||
        args.grouped.arguments.size < arguments_bytes) {
        fail(ErrorCode::kInvalidArgument, "group_routes: outputs too small for {} pairs", args.n_pairs);
    }
    // One workgroup does it all: as wide as the device allows, within reason.
    uint32_t workgroup_size = std::min(256u, context.plan().max_workgroup_invocations);
    Dispatch dispatch;
    dispatch.label = "group_routes";
    dispatch.pipeline = context.pipeline(context.kernel(Op::kGroupRoutes), {workgroup_size, kMaxExperts});
    dispatch.set_push(
        GroupRoutesParams{.ids = dispatch.read({args.ids, pairs_bytes}),
                          .pairs = dispatch.write({args.grouped.pairs.address, pairs_bytes}),
                          .tiles = dispatch.write({args.grouped.tiles.address, tiles_bytes}),
                          .arguments = dispatch.write({args.grouped.arguments.address, arguments_bytes}),
                          .n_pairs = args.n_pairs,
                          .n_experts = args.n_experts,
                          .tile_tokens = args.tile_tokens,
                          .groups = {args.grids[0].groups, args.grids[1].groups, args.grids[2].groups},
                          .tiles_as_rows = tiles_as_rows,
                          .most_groups = context.most_groups()});
    return dispatch;
}

}  // namespace vkmoe
