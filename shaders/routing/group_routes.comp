#version 460
// Sorts the (token, slot) pairs of a batch by expert: counts, scans, scatters; cuts each expert's pairs into tiles of at
// most tile_tokens; and writes the arguments of three indirect dispatches over the tiles. Pairs whose id names no expert
// are left out. The order of an expert's pairs is not fixed: each is computed on its own, so that no result depends on it.
// Launch: one workgroup.
#extension GL_GOOGLE_include_directive : require
#include "common/memory.glsl"
#include "routing/params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint MAX_EXPERTS = 512;

layout(push_constant) uniform Push { GroupRoutesParams params; };

shared uint counts[MAX_EXPERTS];
shared uint cursors[MAX_EXPERTS];      // the next free entry of pairs for each expert
shared uint first_tiles[MAX_EXPERTS];  // the expert's first tile
shared uint n_tiles;

void store_grid(uint dispatch) {
    uint groups = params.groups[dispatch];
    bool tiles_as_rows = ((params.tiles_as_rows >> dispatch) & 1u) != 0u;
    GridSize grid = fold_grid(tiles_as_rows ? groups : n_tiles, tiles_as_rows ? n_tiles : groups, params.most_groups);
    WordsOut arguments = WordsOut(advance(params.arguments, dispatch * 12u));
    arguments.at[0] = grid.x;
    arguments.at[1] = grid.y;
    arguments.at[2] = grid.z;
}

void main() {
    uint lane = gl_LocalInvocationID.x;
    uint lanes = gl_WorkGroupSize.x;
    for (uint e = lane; e < params.n_experts; e += lanes) counts[e] = 0u;
    barrier();
    for (uint p = lane; p < params.n_pairs; p += lanes) {
        uint expert = Words(params.ids).at[p];
        if (expert < params.n_experts) atomicAdd(counts[expert], 1u);
    }
    barrier();
    if (lane == 0u) {
        uint n_entries = 0u;
        n_tiles = 0u;
        for (uint e = 0u; e < params.n_experts; ++e) {
            cursors[e] = n_entries;
            first_tiles[e] = n_tiles;
            n_entries += counts[e];
            n_tiles += (counts[e] + params.tile_tokens - 1u) / params.tile_tokens;
        }
        for (uint dispatch = 0u; dispatch < 3u; ++dispatch) store_grid(dispatch);
    }
    barrier();
    for (uint e = lane; e < params.n_experts; e += lanes) {
        uint tile = first_tiles[e];
        for (uint done = 0u; done < counts[e]; done += params.tile_tokens) {
            uvec4 entry = uvec4(e, cursors[e] + done, min(params.tile_tokens, counts[e] - done),
                                tile == 0u ? n_tiles : 0u);
            Words4Out(params.tiles).at[tile++] = entry;
        }
    }
    barrier();
    for (uint p = lane; p < params.n_pairs; p += lanes) {
        uint expert = Words(params.ids).at[p];
        if (expert < params.n_experts) WordsOut(params.pairs).at[atomicAdd(cursors[expert], 1u)] = p;
    }
}
