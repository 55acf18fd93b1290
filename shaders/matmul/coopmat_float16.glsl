// Float16 operands of coopmat_tile.glsl. Tokens come packed (pack_float16): float16 times a power of two for each row.
//
// Weights are scaled by a power of two for each row, too, so that neither tiny nor huge scales leave the range of float16.
// A row's exponent comes of a bound of its first chunk that is not zero, which is scaled to between 1 and 2; the 14 binades
// above are room for later chunks. One that needs more takes a larger exponent, and the sums of the row so far shrink by
// the same factor. One invocation has a row in all chunks.
#ifndef VKMOE_SHADERS_MATMUL_COOPMAT_FLOAT16_GLSL
#define VKMOE_SHADERS_MATMUL_COOPMAT_FLOAT16_GLSL

#include "common/power_of_two.glsl"
#include "matmul/run_bound.glsl"

const uint RUN_VECTORS = 4;  // 8 float16 each
const uint STAGED_STRIDE = CHUNK_RUNS * RUN_VECTORS + 1;
const int kHeadroom = 14;
const int kNoExponent = -1000;

shared uvec4 staged_weights[TILE_ROWS * STAGED_STRIDE];
shared uvec4 staged_tokens[TILE_TOKENS * STAGED_STRIDE];
shared int weight_exponents[TILE_ROWS];
shared int token_exponents[TILE_TOKENS];
shared float shrinking[TILE_ROWS];  // the factor of this chunk for sums so far
shared uint last_shrinking;         // the last chunk in which a factor was not 1, plus 1
shared uvec2 token_rows[TILE_TOKENS];

void begin_tile(uint n_columns) {
    for (uint row = gl_LocalInvocationID.x; row < TILE_ROWS; row += gl_WorkGroupSize.x) weight_exponents[row] = kNoExponent;
    for (uint token = gl_LocalInvocationID.x; token < TILE_TOKENS; token += gl_WorkGroupSize.x) {
        uvec2 x = token_row_of(token);
        token_rows[token] = x;
        token_exponents[token] = int(Words(advance(x, n_columns * 2u)).at[0]);
    }
    if (gl_LocalInvocationID.x == 0u) last_shrinking = 0u;
}

void stage_weights(uint chunk) {
    for (uint row = gl_LocalInvocationID.x; row < TILE_ROWS; row += gl_WorkGroupSize.x) {
        Run runs[CHUNK_RUNS];
        load_chunk(weight_row_of(row), chunk, runs);
        float bound = run_bound(runs[0]);
        [[unroll]] for (uint run = 1; run < CHUNK_RUNS; ++run) bound = max(bound, run_bound(runs[run]));

        int exponent = weight_exponents[row];
        float factor = 1.0;
        if (bound != 0.0) {
            int wanted = exponent_of(bound);
            if (exponent == kNoExponent) {
                exponent = wanted;
                weight_exponents[row] = exponent;
            } else if (wanted > exponent + kHeadroom) {
                factor = power_of_two(exponent - wanted);
                exponent = wanted;
                weight_exponents[row] = exponent;
                atomicMax(last_shrinking, chunk + 1u);
            }
        }
        shrinking[row] = factor;

        float scale = exponent == kNoExponent ? 1.0 : power_of_two(-exponent);
        [[unroll]] for (uint run = 0; run < CHUNK_RUNS; ++run) {
            vec4 values[8];
            decode_run(runs[run], values);
            [[unroll]] for (uint i = 0; i < RUN_VECTORS; ++i) {
                vec4 low = values[2 * i] * scale;
                vec4 high = values[2 * i + 1] * scale;
                staged_weights[row * STAGED_STRIDE + run * RUN_VECTORS + i] =
                    uvec4(packHalf2x16(low.xy), packHalf2x16(low.zw), packHalf2x16(high.xy), packHalf2x16(high.zw));
            }
        }
    }
}

void stage_tokens(uint chunk, uint n_columns) {
    const uint kVectors = CHUNK_RUNS * RUN_VECTORS;
    for (uint i = gl_LocalInvocationID.x; i < TILE_TOKENS * kVectors; i += gl_WorkGroupSize.x) {
        uint token = i / kVectors;
        uint vector = i % kVectors;
        uint column = run_block(chunk, vector / RUN_VECTORS) * RUN_VECTORS + vector % RUN_VECTORS;
        staged_tokens[token * STAGED_STRIDE + vector] = Words4(token_rows[token]).at[column];
    }
}

/// sums[r, t] of rows that took a larger exponent in this chunk, times their factors.
void shrink_sums();

void multiply_staged(uint chunk) {
    if (last_shrinking == chunk + 1u) shrink_sums();
    for (uint k = 0; k < CHUNK_RUNS * 32u; k += K) {
        coopmat<float16_t, SCOPE, K, N, gl_MatrixUseB> tokens[TOKEN_MATRICES];
        [[unroll]] for (uint t = 0; t < TOKEN_MATRICES; ++t) {
            coopMatLoad(tokens[t], staged_tokens, team_token(t) * STAGED_STRIDE + k / 8, STAGED_STRIDE,
                        gl_CooperativeMatrixLayoutColumnMajor);
        }
        [[unroll]] for (uint r = 0; r < ROW_MATRICES; ++r) {
            coopmat<float16_t, SCOPE, M, K, gl_MatrixUseA> weights;
            coopMatLoad(weights, staged_weights, team_row(r) * STAGED_STRIDE + k / 8, STAGED_STRIDE,
                        gl_CooperativeMatrixLayoutRowMajor);
            [[unroll]] for (uint t = 0; t < TOKEN_MATRICES; ++t) {
                uint i = r * TOKEN_MATRICES + t;
                sums[i] = coopMatMulAdd(weights, tokens[t], sums[i]);
            }
        }
    }
}

/// What a sum stands for.
float finished(uint row, uint token, float sum) {
    int exponent = weight_exponents[row];
    if (exponent == kNoExponent) exponent = 0;
    return times_power_of_two(sum, exponent + token_exponents[token]);
}

#endif
