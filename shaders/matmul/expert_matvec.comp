#version 460
// Each (token, slot) pair by its own expert: with one matrix, y[p, r] = W[r, :] . x[p / divisor, :]; with two
// (GATED), y[p, r] = silu(gate[r, :] . x) * (up[r, :] . x).
//
// A team of lanes (lanes.glsl) computes ROWS rows of one pair. Launch: columns of the grid cover teams of ROWS rows, rows
// are pairs.
#extension GL_GOOGLE_include_directive : require
#include "matmul/lanes.glsl"
#include "matmul/operands.glsl"
#include "common/grid.glsl"
#include "matmul/params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint ROWS = 1;
layout(constant_id = 2) const uint GATED = 0;
const uint MATRIX_ROWS = ROWS * (1u + GATED);  // up's rows follow gate's

layout(push_constant) uniform Push { ExpertMatvecParams params; };

uvec2 codebook() { return params.codebook; }

void main() {
    uvec2 position = grid_position(params.n_pairs);
    uint first_row = team_index(position.x) * ROWS;
    uint pair = position.y;
    if (first_row >= params.n_rows) return;
    uint expert = Words(params.ids).at[pair];
    if (expert >= params.n_experts) return;

    uvec2 record = Pointers(params.experts).at[expert];
    uint weight_stride = row_stride(params.n_columns);
    uvec2 weight_rows[MATRIX_ROWS];
    [[unroll]] for (uint r = 0; r < MATRIX_ROWS; ++r) {
        uvec2 matrix = advance(record, r < ROWS ? params.first_offset : params.second_offset);
        uint row = first_row + (r < ROWS ? r : r - ROWS);
        weight_rows[r] = advance(matrix, min(row, params.n_rows - 1u), weight_stride);
    }
    uvec2 x_row = advance(params.x, pair / params.x_divisor, params.x_stride);

    float sums[MATRIX_ROWS];
    [[unroll]] for (uint r = 0; r < MATRIX_ROWS; ++r) sums[r] = 0.0;
    uint n_chunks = params.n_columns / (32u * CHUNK_RUNS);
    for (uint chunk = LANE; chunk < n_chunks; chunk += LANES) {
        Activation activations[CHUNK_RUNS];
        [[unroll]] for (uint i = 0; i < CHUNK_RUNS; ++i) {
            activations[i] = load_activation(x_row, run_block(chunk, i), params.n_columns);
        }
        [[unroll]] for (uint r = 0; r < MATRIX_ROWS; ++r) {
            Run runs[CHUNK_RUNS];
            load_chunk(weight_rows[r], chunk, runs);
            [[unroll]] for (uint i = 0; i < CHUNK_RUNS; ++i) sums[r] += dot_run(prepare(runs[i]), activations[i]);
        }
    }

    [[unroll]] for (uint r = 0; r < MATRIX_ROWS; ++r) sums[r] = team_sum(sums[r]);
    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
        uint row = first_row + r;
        if (LANE == r % LANES && row < params.n_rows) {
            float value = sums[r];
            if (GATED != 0u) value = value / (1.0 + exp(-value)) * sums[(MATRIX_ROWS - ROWS) + r];
            FloatsOut(advance(params.y, pair, params.n_rows * 4u)).at[row] = value;
        }
    }
}
