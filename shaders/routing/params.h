// Push constants of the kernels that choose experts and sort tokens by them.
#ifndef VKMOE_SHADERS_ROUTING_PARAMS_H
#define VKMOE_SHADERS_ROUTING_PARAMS_H

#include "common/fold_grid.h"
#include "common/shared.h"

#ifdef __cplusplus
namespace vkmoe {
#endif

struct RouterParams {
    VKMOE_POINTER logits;
    VKMOE_POINTER ids;
    VKMOE_POINTER weights;
    VKMOE_POINTER counts;         // uint [n_experts], one more for each time an expert is chosen; 0: not wanted
    VKMOE_POINTER bias;           // float [n_experts], added to scores for the choice; 0: none
    VKMOE_POINTER expert_scales;  // float [n_experts], factors of the weights; 0: none
    VKMOE_POINTER table;          // uint [n_table_rows, n_slots], experts by token; 0: they are chosen
    VKMOE_POINTER tokens;         // uint [n_tokens], rows of the table
    VKMOE_UINT n_tokens;
    VKMOE_UINT n_experts;
    VKMOE_UINT n_groups_used;
    VKMOE_UINT n_table_rows;
    VKMOE_UINT renormalize;  // 0 or 1
    VKMOE_FLOAT sum_offset;  // added to the sum of the chosen scores, when they are renormalized
    VKMOE_FLOAT least_sum;   // and its least value then
    VKMOE_FLOAT scale;
    VKMOE_FLOAT two_jitter;  // the SparseMixer's: how far from the best counts, relative
    VKMOE_UINT padding;
};
VKMOE_CHECK_SIZE(RouterParams, 104);

/// router_statistics: what routers' probabilities add up to over tokens.
struct RouterStatisticsParams {
    VKMOE_POINTER logits;  // float [n_tokens, n_experts]
    VKMOE_POINTER sums;    // in and out: float [n_experts, 2], sums and what rounding took from them
    VKMOE_UINT n_tokens;
    VKMOE_UINT n_experts;
};
VKMOE_CHECK_SIZE(RouterStatisticsParams, 24);

/// group_routes: pairs (token, slot) sorted by expert, cut into tiles, and the indirect arguments of the dispatches over them.
struct GroupRoutesParams {
    VKMOE_POINTER ids;        // uint [n_pairs]: the expert of each pair
    VKMOE_POINTER pairs;      // out: uint [n_pairs], pair indices, those of one expert together
    VKMOE_POINTER tiles;      // out: uvec4 [at most n_pairs / tile_tokens + n_experts]: expert, first entry in pairs, count;
                              // then the number of tiles in the first, 0 in the others
    VKMOE_POINTER arguments;  // out: uint [3, 3]: grids of tiles by groups, folded
    VKMOE_UINT n_pairs;
    VKMOE_UINT n_experts;
    VKMOE_UINT tile_tokens;
    VKMOE_UINT groups[3];      // of each dispatch: workgroups over the rows of weights, for each tile
    VKMOE_UINT tiles_as_rows;  // bit i: tiles are rows of dispatch i's grid, else columns
    GridSize most_groups;      // of a dispatch
};
VKMOE_CHECK_SIZE(GroupRoutesParams, 72);

#ifdef __cplusplus
}  // namespace vkmoe
#endif

#endif
