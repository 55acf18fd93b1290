#version 460
// The experts' matrices for many tokens: pairs (token, slot) come sorted by expert and cut into tiles (group_routes);
// y[p, r] = W[r, :] . x[p / divisor, :], gathered when tokens are loaded and scattered when sums are stored; or, gated,
// y[p, r] = silu(gate[r, :] . x) * (up[r, :] . x).
// Launch (indirect): columns of the grid are tiles of tokens, rows tiles of weight rows: of one matrix, of gate and
// then of up, or of half as many rows of both.
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

const uint GATE_ROWS = TILE_ROWS / 2;
#include "matmul/expert_tile.glsl"

void main() {
    if (!open_tile()) return;
    multiply_tile(params.n_columns, 0u, 1u);
    [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
        uint token = t * TOKEN_LANES + token_lane();
        if (token >= tile.z) continue;
        uvec2 y_row = y_row_of(token);
        [[unroll]] for (uint r = 0; r < ROWS; ++r) {
            if (is_gated() && r >= ROWS / 2) break;
            float sum = sums[r * TOKENS + t];
            if (is_gated()) sum = gated(sum, sums[(r + ROWS / 2) % ROWS * TOKENS + t]);
            uint row = first_row + r * ROW_LANES + row_lane();
            if (row < params.n_rows) FloatsOut(y_row).at[row] = sum;
        }
    }
}
