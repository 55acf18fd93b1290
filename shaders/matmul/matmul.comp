#version 460
// y[t, r] = weights[r, :] . x[t, :] (+ residual[t, r]), for many tokens: one workgroup a tile (tile.glsl).
// Launch: columns of the grid are tiles of rows, rows tiles of tokens, each as many times as there are parts of the columns.
#extension GL_GOOGLE_include_directive : require
#include "common/memory.glsl"
#include "common/grid.glsl"
#include "matmul/params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint ROWS = 4;
layout(constant_id = 2) const uint TOKENS = 4;
layout(constant_id = 3) const uint ROW_LANES = 8;
layout(constant_id = 4) const uint WORDS = 1;

layout(push_constant) uniform Push { MatmulParams params; };

uvec2 codebook() { return params.codebook; }

#include "matmul/tile.glsl"

uvec2 tile_position;  // its column and row of tiles
uint part;            // of the columns

/// Where the sums of a token are written.
uvec2 y_row_of(uint token) { return advance(params.y, token * params.n_parts + part, params.y_stride * 4u); }

uvec2 weight_row_of(uint i) {
    uint row = min(tile_position.x * TILE_ROWS + i, params.n_rows - 1u);
    return advance(params.weights, row, row_stride(params.n_columns));
}

uvec2 token_row_of(uint i) {
    uint token = min(tile_position.y * TILE_TOKENS + i, params.n_tokens - 1u);
    return advance(params.x, token, params.x_stride);
}

void main() {
    tile_position = grid_position((params.n_tokens + TILE_TOKENS - 1u) / TILE_TOKENS * params.n_parts);
    if (tile_position.x * TILE_ROWS >= params.n_rows) return;
    part = tile_position.y % params.n_parts;
    tile_position.y /= params.n_parts;
    multiply_tile(params.n_columns, part, params.n_parts);
    [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
        uint token = tile_position.y * TILE_TOKENS + t * TOKEN_LANES + token_lane();
        if (token >= params.n_tokens) continue;
        uvec2 y_row = y_row_of(token);
        uvec2 residual_row = advance(params.residual, token, params.y_stride * 4u);
        [[unroll]] for (uint r = 0; r < ROWS; ++r) {
            uint row = tile_position.x * TILE_ROWS + r * ROW_LANES + row_lane();
            if (row >= params.n_rows) continue;
            float sum = sums[r * TOKENS + t];
            if (!is_null(params.residual)) sum += Floats(residual_row).at[row];
            FloatsOut(y_row).at[row] = sum;
        }
    }
}
