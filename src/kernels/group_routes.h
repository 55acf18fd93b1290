#pragma once

#include "kernels/dispatch.h"
#include "kernels/kernel_table.h"

#include <array>
#include <cstdint>

namespace vkmoe {

/// Dispatches over the tiles of a layer: gate (with up, where one does both), up and down.
inline constexpr uint32_t kTileDispatches = 3;

/// Pairs (token, slot) sorted by expert and cut into tiles, in device memory.
struct GroupedRoutes {
    Allocation pairs;  ///< uint32 [n_pairs]
    Allocation tiles;  ///< uint32 [max_route_tiles, 4]: expert, first entry in pairs, count, and the number
                       ///< of tiles in the first one, 0 in the others
    Allocation arguments;  ///< uint32 [kTileDispatches, 3]: indirect, of the dispatches over the tiles
};

/// The most tiles that n_pairs pairs can make.
uint32_t max_route_tiles(uint32_t n_pairs, uint32_t n_experts, uint32_t tile_tokens);

/// The workgroups of a dispatch over the tiles.
struct TileGrid {
    uint32_t groups = 1;         ///< that cover the rows of weights, for each tile
    bool tiles_as_rows = false;  ///< of the grid; else tiles are its columns
};

struct GroupRoutesArgs {
    uint64_t ids = 0;  ///< uint32 [n_pairs]
    GroupedRoutes grouped;
    uint32_t n_pairs = 0;
    uint32_t n_experts = 0;                       ///< at most 512
    uint32_t tile_tokens = 0;                     ///< of the expert_matmul that follows
    std::array<TileGrid, kTileDispatches> grids;  ///< expert_tile_grid of each dispatch
};

Dispatch group_routes(KernelContext& context, const GroupRoutesArgs& args);

}  // namespace vkmoe
