#version 460
// y[t, r] = weights[r, :] . x[t, :] (+ residual[t, r]), for a few tokens.
//
// A team of lanes (lanes.glsl) computes ROWS rows for TOKENS tokens, so that each weight is decoded once for all of them.
// Launch: columns of the grid cover teams of ROWS rows, rows of the grid tiles of TOKENS tokens.
#extension GL_GOOGLE_include_directive : require
#include "matmul/lanes.glsl"
#include "matmul/operands.glsl"
#include "common/grid.glsl"
#include "matmul/params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint ROWS = 1;
layout(constant_id = 2) const uint TOKENS = 1;

layout(push_constant) uniform Push { MatmulParams params; };

uvec2 codebook() { return params.codebook; }

void main() {
    uvec2 position = grid_position((params.n_tokens + TOKENS - 1u) / TOKENS);
    uint first_row = team_index(position.x) * ROWS;
    uint first_token = position.y * TOKENS;
    if (first_row >= params.n_rows) return;

    float sums[ROWS * TOKENS];
    [[unroll]] for (uint i = 0; i < ROWS * TOKENS; ++i) sums[i] = 0.0;
    uint weight_stride = row_stride(params.n_columns);
    uvec2 weight_rows[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
        weight_rows[r] = advance(params.weights, min(first_row + r, params.n_rows - 1u), weight_stride);
    }
    uvec2 x_rows[TOKENS];
    [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
        x_rows[t] = advance(params.x, min(first_token + t, params.n_tokens - 1u), params.x_stride);
    }

    uint n_chunks = params.n_columns / (32u * CHUNK_RUNS);
    for (uint chunk = LANE; chunk < n_chunks; chunk += LANES) {
        Operand weights[ROWS * CHUNK_RUNS];
        [[unroll]] for (uint r = 0; r < ROWS; ++r) {
            Run runs[CHUNK_RUNS];
            load_chunk(weight_rows[r], chunk, runs);
            [[unroll]] for (uint i = 0; i < CHUNK_RUNS; ++i) weights[r * CHUNK_RUNS + i] = prepare(runs[i]);
        }
        [[unroll]] for (uint i = 0; i < CHUNK_RUNS; ++i) {
            [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
                Activation activation = load_activation(x_rows[t], run_block(chunk, i), params.n_columns);
                [[unroll]] for (uint r = 0; r < ROWS; ++r) {
                    sums[r * TOKENS + t] += dot_run(weights[r * CHUNK_RUNS + i], activation);
                }
            }
        }
    }

    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
        [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
            float sum = team_sum(sums[r * TOKENS + t]);
            uint row = first_row + r;
            uint token = first_token + t;
            if (LANE == (r * TOKENS + t) % LANES && row < params.n_rows && token < params.n_tokens) {
                uvec2 y_row = advance(params.y, token, params.y_stride * 4u);
                if (!is_null(params.residual)) {
                    sum += Floats(advance(params.residual, token, params.y_stride * 4u)).at[row];
                }
                FloatsOut(y_row).at[row] = sum;
            }
        }
    }
}
