#version 460
// The down projection of a few tokens: y[t, r] = residual[t, r] + sum over slots s of weights[t, s] * (W_e[r, :] .
// x[t * n_slots + s, :]), where e = ids[t, s].
//
// A team of lanes (lanes.glsl) computes ROWS rows of one token. The chunks of all slots are one sequence that the lanes
// take in turn, so that short rows still occupy a wide subgroup. Launch: columns of the grid cover teams of ROWS
// rows, rows are tokens.
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
#define VKMOE_TABLE_CONSTANT 2

#include "matmul/lanes.glsl"
#include "matmul/operands.glsl"
#include "common/grid.glsl"
#include "matmul/params.h"

layout(constant_id = 1) const uint ROWS = 1;

layout(push_constant) uniform Push { ExpertMatvecSumParams params; };

uvec2 codebook() { return params.codebook; }

void main() {
    load_tables();
    uvec2 position = grid_position(params.n_tokens);
    uint first_row = team_index(position.x) * ROWS;
    uint token = position.y;
    if (first_row >= params.n_rows) return;

    float sums[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; ++r) sums[r] = 0.0;
    uint weight_stride = row_stride(params.n_columns);
    uint n_chunks = params.n_columns / (32u * CHUNK_RUNS);
    for (uint item = LANE; item < n_chunks * params.n_slots; item += LANES) {
        uint slot = item / n_chunks;
        uint chunk = item - slot * n_chunks;
        uint pair = token * params.n_slots + slot;
        uint expert = Words(params.ids).at[pair];
        if (expert >= params.n_experts) continue;
        float weight = load_or(params.weights, pair, 1.0, params.ids);
        uvec2 matrix = advance(Pointers(params.experts).at[min(expert, params.n_experts - 1u)], params.offset);
        uvec2 x_row = advance(params.x, pair, params.x_stride);

        Run weights[ROWS * CHUNK_RUNS];
        [[unroll]] for (uint r = 0; r < ROWS; ++r) {
            Run runs[CHUNK_RUNS];
            load_chunk(team_row(matrix, params.n_rows, weight_stride, position.x, ROWS, r), chunk, runs);
            [[unroll]] for (uint i = 0; i < CHUNK_RUNS; ++i) weights[r * CHUNK_RUNS + i] = runs[i];
        }
        float products[ROWS];
        [[unroll]] for (uint r = 0; r < ROWS; ++r) products[r] = 0.0;
        [[unroll]] for (uint i = 0; i < CHUNK_RUNS; ++i) {
            uint block = run_block(chunk, i);
            [[unroll]] for (uint piece = 0; piece < RUN_PIECES; ++piece) {
                ActivationPiece x = activation_piece(x_row, block, piece, params.n_columns);
                [[unroll]] for (uint r = 0; r < ROWS; ++r) {
                    products[r] = add_product(weight_piece(weights[r * CHUNK_RUNS + i], piece), x, products[r]);
                }
            }
        }
        [[unroll]] for (uint r = 0; r < ROWS; ++r) sums[r] += weight * products[r];
    }

    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
        float sum = team_sum(sums[r]);
        uint row = first_row + r;
        if (LANE == r % LANES && row < params.n_rows) {
            uint stride = params.n_rows * 4u;
            uvec2 residual = is_null(params.residual) ? params.residual : advance(params.residual, token, stride);
            sum += load_or(residual, row, 0.0, params.ids);
            FloatsOut(advance(params.y, token, stride)).at[row] = sum;
        }
    }
}
