#version 460
// y[t, r] = weights[r, :] . x[t, :] (+ residual[t, r]), for many tokens, with cooperative matrices: one workgroup a tile
// (coopmat_tile.glsl). Launch: columns of the grid are tiles of rows, rows tiles of tokens, each as many times as there are
// parts of the columns.
#extension GL_GOOGLE_include_directive : require
#include "common/memory.glsl"
#include "common/grid.glsl"
#include "matmul/params.h"

layout(push_constant) uniform Push { MatmulParams params; };

uvec2 codebook() { return params.codebook; }

#include "matmul/coopmat_tile.glsl"

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

void store_sum(uint i, uint t, float sum) {
    uint row = tile_position.x * TILE_ROWS + i;
    uint token = tile_position.y * TILE_TOKENS + t;
    if (row >= params.n_rows || token >= params.n_tokens) return;
    if (!is_null(params.residual)) {
        sum += Floats(advance(params.residual, token, params.y_stride * 4u)).at[row];
    }
    FloatsOut(y_row_of(token)).at[row] = sum;
}

void main() {
    tile_position = grid_position((params.n_tokens + TILE_TOKENS - 1u) / TILE_TOKENS * params.n_parts);
    if (tile_position.x * TILE_ROWS >= params.n_rows) return;
    part = tile_position.y % params.n_parts;
    tile_position.y /= params.n_parts;
    multiply_tile(params.n_columns, part, params.n_parts);
}
