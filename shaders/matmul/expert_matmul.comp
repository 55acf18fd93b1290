#version 460
// The experts' matrices for many tokens: pairs (token, slot) come sorted by expert and cut into tiles (group_routes);
// y[p, r] = W[r, :] . x[p / divisor, :], gathered when tokens are loaded and scattered when sums are stored.
// Launch (indirect): columns of the grid are tiles of tokens, rows tiles of weight rows: of one matrix, or of gate and
// then of up.
#extension GL_GOOGLE_include_directive : require
#include "common/memory.glsl"
#include "common/grid.glsl"
#include "matmul/params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint ROWS = 4;
layout(constant_id = 2) const uint TOKENS = 4;
layout(constant_id = 3) const uint ROW_LANES = 8;
layout(constant_id = 4) const uint WORDS = 1;

layout(push_constant) uniform Push { ExpertParams params; };

uvec2 codebook() { return params.codebook; }

#include "matmul/tile.glsl"

uvec2 matrix;      // of this tile's expert
uvec4 tile;        // expert, first entry in pairs, count

uint first_row;  // of the matrix, in this tile

uvec2 weight_row_of(uint i) {
    uint row = min(first_row + i, params.n_rows - 1u);
    return advance(matrix, row, row_stride(params.n_columns));
}

uint pair_of(uint i) { return Words(params.pairs).at[tile.y + min(i, tile.z - 1u)]; }

uvec2 token_row_of(uint i) { return advance(params.x, pair_of(i) / params.x_divisor, params.x_stride); }

void main() {
    uint grid_rows = is_null(params.second_y) ? params.matrix_groups : 2u * params.matrix_groups;
    uvec2 position = grid_position(grid_rows);
    // The first tile tells how many there are.
    if (position.x >= gl_NumWorkGroups.x && position.x >= Words4(params.tiles).at[0].w) return;
    bool second = position.y >= params.matrix_groups;
    first_row = (second ? position.y - params.matrix_groups : position.y) * TILE_ROWS;
    if (first_row >= params.n_rows) return;
    tile = Words4(params.tiles).at[position.x];
    matrix = advance(Pointers(params.experts).at[tile.x], second ? params.second_offset : params.first_offset);
    multiply_tile(params.n_columns, 0u, 1u);
    [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
        uint token = t * TOKEN_LANES + token_lane();
        if (token >= tile.z) continue;
        uvec2 y_row = advance(second ? params.second_y : params.first_y, pair_of(token), params.n_rows * 4u);
        [[unroll]] for (uint r = 0; r < ROWS; ++r) {
            uint row = first_row + r * ROW_LANES + row_lane();
            if (row < params.n_rows) FloatsOut(y_row).at[row] = sums[r * TOKENS + t];
        }
    }
}
