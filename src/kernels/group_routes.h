#pragma once

#include "kernels/dispatch.h"
#include "kernels/kernel_table.h"

#include <cstdint>

namespace vkmoe {

/// Pairs (token, slot) sorted by expert and cut into tiles, in device memory.
struct GroupedRoutes {
    Allocation pairs;  ///< uint32 [n_pairs]
    Allocation tiles;  ///< uint32 [max_route_tiles, 4]: expert, first entry in pairs, count, and the number
                       ///< of tiles in the first one, 0 in the others
    Allocation arguments;  ///< uint32 [2, 3]: indirect arguments of two dispatches over the tiles
};

/// The most tiles that n_pairs pairs can make.
uint32_t max_route_tiles(uint32_t n_pairs, uint32_t n_experts, uint32_t tile_tokens);

/// Tiles are the columns of the grids of two indirect dispatches, whose rows are given.
struct GroupRoutesArgs {
    uint64_t ids = 0;  ///< uint32 [n_pairs]
    GroupedRoutes grouped;
    uint32_t n_pairs = 0;
    uint32_t n_experts = 0;    ///< at most 512
    uint32_t tile_tokens = 0;  ///< of the expert_matmul that follows
    uint32_t first_rows = 1;   ///< expert_tile_rows, times 2 for two matrices
    uint32_t second_rows = 1;
};

Dispatch group_routes(KernelContext& context, const GroupRoutesArgs& args);

}  // namespace vkmoe
