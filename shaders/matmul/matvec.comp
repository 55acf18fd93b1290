#version 460
// y[t, r] = weights[r, :] . x[t, :] (+ residual[t, r]), in the registers of teams of lanes (register_rows.glsl): ROWS rows
// by TOKENS tokens each. Launch: columns of the grid cover teams of ROWS rows, rows of the grid tiles of TOKENS tokens.
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
#define VKMOE_TABLE_CONSTANT 3

#include "matmul/lanes.glsl"
#include "matmul/operands.glsl"
#include "common/grid.glsl"
#include "matmul/params.h"

layout(constant_id = 1) const uint ROWS = 1;
layout(constant_id = 2) const uint TOKENS = 1;
const uint GATED = 0u;
const uint MATRIX_ROWS = ROWS;
const uint MOST_SUMS = 0xFFFFFFFFu;

layout(push_constant) uniform Push { MatmulParams params; };

uvec2 codebook() { return params.codebook; }

uint first_row;
uint first_token;

uvec2 token_row_of(uint t) { return advance(params.x, min(first_token + t, params.n_tokens - 1u), params.x_stride); }

void store_sum(uint r, uint t, float sum) {
    uint row = first_row + r;
    uint token = first_token + t;
    if (row >= params.n_rows || token >= params.n_tokens) return;
    uvec2 residual = is_null(params.residual) ? params.residual : advance(params.residual, token, params.y_stride * 4u);
    sum += load_or(residual, row, 0.0, params.x);
    FloatsOut(advance(params.y, token, params.y_stride * 4u)).at[row] = sum;
}

#define N_TOKENS TOKENS
#define multiply_rows multiply
#include "matmul/register_rows.glsl"

void main() {
    load_tables();
    uvec2 position = grid_position((params.n_tokens + TOKENS - 1u) / TOKENS);
    first_row = team_index(position.x) * ROWS;
    first_token = position.y * TOKENS;
    if (first_row >= params.n_rows) return;
    uint stride = row_stride(params.n_columns);
    Row weight_rows[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
        weight_rows[r] = team_row(params.weights, params.n_rows, stride, position.x, ROWS, r);
    }
    multiply(weight_rows, params.n_columns);
}
