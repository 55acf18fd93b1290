#version 460
// The experts' matrices for many tokens, with cooperative matrices: pairs (token, slot) come sorted by expert and cut into
// tiles (group_routes); y[p, r] = W[r, :] . x[p / divisor, :], gathered when tokens are loaded and scattered when sums are
// stored; or, gated, y[p, r] = silu(gate[r, :] . x) * (up[r, :] . x).
// Launch (indirect): columns of the grid are tiles of tokens, rows tiles of weight rows: of one matrix, of gate and then
// of up, or of half as many rows of both.
#extension GL_GOOGLE_include_directive : require
#include "common/memory.glsl"
#include "common/grid.glsl"
#include "matmul/params.h"

layout(push_constant) uniform Push { ExpertParams params; };

uvec2 codebook() { return params.codebook; }

#define VKMOE_GATES
#include "matmul/coopmat_tile.glsl"

const uint GATE_ROWS = M * ROW_MATRICES / 2;  // a team has sums of gate and of up
#include "matmul/expert_tile.glsl"

void store_sum(uint i, uint t, float sum) {
    uint row = matrix_row(i);
    if (row < params.n_rows && t < tile.z) FloatsOut(y_row_of(t)).at[row] = sum;
}

void main() {
    if (open_tile()) multiply_tile(params.n_columns, 0u, 1u);
}
