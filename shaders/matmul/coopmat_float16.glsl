// Float16 operands of coopmat_tile.glsl. Tokens come packed (pack_float16): float16 times a power of two for each row.
//
// Weights are scaled by a power of two for each row, too, so that neither tiny nor huge scales leave the range of float16.
// A row's exponent comes of a bound of its first step, which is scaled to between 1 and 2 (zeros by 2^126); the 14 binades
// above are room for later steps. One that needs more takes a larger exponent, and the sums of the row so far shrink by
// the same factor. Neighbouring invocations share a row if there are more of them than rows.
#ifndef VKMOE_SHADERS_MATMUL_COOPMAT_FLOAT16_GLSL
#define VKMOE_SHADERS_MATMUL_COOPMAT_FLOAT16_GLSL

#include "common/power_of_two.glsl"
#include "matmul/run_bound.glsl"

#extension GL_KHR_shader_subgroup_shuffle : require

layout(constant_id = 10) const bool BYTES_AS_HALVES = false;

const uint RUN_VECTORS = 4;  // 8 float16 each
const uint STAGED_STRIDE = STEP_RUNS * RUN_VECTORS + 1;
const int kHeadroom = 14;
const int kNoExponent = -1000;

shared uvec4 staged_weights[WEIGHTS_OR_SUMS(TILE_ROWS * STAGED_STRIDE)];
shared uvec4 staged_tokens[TILE_TOKENS * STAGED_STRIDE];
shared int weight_exponents[TILE_ROWS];
// Then the last step in which the factor of a row was not 1, plus 1. It is in this array, and 4 words long, for Mesa lays
// shared variables out one after the other: behind a single word, vectors would be loaded and stored in two or four parts.
shared int token_exponents[TILE_TOKENS + 4];
const uint LAST_SHRINKING = TILE_TOKENS;
shared float shrinking[TILE_ROWS];  // the factor of this step for sums so far

void begin_token(uint token, uvec2 x, uint n_columns) {
    token_exponents[token] = int(Words(advance(x, n_columns * 2u)).at[0]);
}

/// The weights of a run, times scale.
void stage_run(uint vector, Run run, float scale) {
#if defined(VKMOE_TYPE_F16)
    [[unroll]] for (uint i = 0; i < RUN_VECTORS; ++i) staged_weights[vector + i] = scale != 0.0 ? run.words[i] : uvec4(0u);
#else
#if !defined(VKMOE_TYPE_F32) && !defined(VKMOE_TYPE_BF16)
    if (BYTES_AS_HALVES) {
#if defined(VKMOE_FP4_CODES)
        // q is twice the number, and fp4_halves a 2^14th of it. In this order nothing overflows.
        precise vec2 fitted = run.scale * scale;
        precise vec2 scales = fitted * 32768.0;
        [[unroll]] for (uint i = 0; i < RUN_VECTORS; ++i) {
            uvec4 halves;
            [[unroll]] for (uint w = 0; w < 2; ++w) {
                uvec2 place = fp4_place(2 * i + w);
                vec2 even = fp4_halves(run.codes[place.x], 4u * place.y) * scales[i / 2];
                vec2 odd = fp4_halves(run.codes[place.x], 8u + 4u * place.y) * scales[i / 2];
                halves[2 * w] = packHalf2x16(vec2(even.x, odd.x));
                halves[2 * w + 1] = packHalf2x16(vec2(even.y, odd.y));
            }
            staged_weights[vector + i] = halves;
        }
#else
        // A byte of 0 to 255 below the exponent of 1024 is the float16 of 1024 more than it: no conversion.
        vec2 scales = run.scale * scale;
        vec2 offsets = run.offset * -scale - 1152.0 * scales;
        [[unroll]] for (uint i = 0; i < RUN_VECTORS; ++i) {
            uvec4 halves;
            [[unroll]] for (uint w = 0; w < 2; ++w) {
                uint bytes = run.q[2 * i + w] ^ 0x80808080u;
                vec2 even = unpackHalf2x16((bytes & 0x00FF00FFu) | 0x64006400u) * scales[i / 2] + offsets[i / 2];
                vec2 odd = unpackHalf2x16(((bytes >> 8) & 0x00FF00FFu) | 0x64006400u) * scales[i / 2] + offsets[i / 2];
                halves[2 * w] = packHalf2x16(vec2(even.x, odd.x));
                halves[2 * w + 1] = packHalf2x16(vec2(even.y, odd.y));
            }
            staged_weights[vector + i] = halves;
        }
#endif
        return;
    }
#endif
    vec4 values[8];
    decode_run(run, values);
    [[unroll]] for (uint i = 0; i < RUN_VECTORS; ++i) {
        vec4 low = values[2 * i] * scale;
        vec4 high = values[2 * i + 1] * scale;
        staged_weights[vector + i] =
            uvec4(packHalf2x16(low.xy), packHalf2x16(low.zw), packHalf2x16(high.xy), packHalf2x16(high.zw));
    }
#endif
}

/// The exponent of a row whose weights in this step have this bound, where it had `exponent` so far. Of the neighbouring
/// invocations that share the row, all call it, and the first keeps it for the others to read.
int fit_exponent(int exponent, float bound, uint row, uint step, bool is_first) {
    [[unroll]] for (uint lanes = 1; lanes < ROW_LANES; lanes *= 2) bound = max(bound, subgroupShuffleXor(bound, lanes));
    int wanted = exponent_of(bound);
    float factor = 1.0;
    if (wanted > exponent + kHeadroom) {
        if (exponent != kNoExponent) {
            factor = power_of_two(exponent - wanted);
            atomicMax(token_exponents[LAST_SHRINKING], int(step + 1u));
        }
        exponent = wanted;
        if (is_first) weight_exponents[row] = exponent;
    }
    if (is_first) shrinking[row] = factor;
    return exponent;
}

// Of an invocation, in all steps: compilers compute again what could wait in a register.
uint kept_vector;   // its first of staged_weights, where KEEPS_ROW
int kept_exponent;  // of its row, likewise

void stage_weights(uint item, uint step, uint n_columns) {
    uint row = item / ROW_LANES;
    uint first = item % ROW_LANES;  // chunk
    Run runs[LANE_CHUNKS * CHUNK_RUNS];
    float bound = 0.0;
    [[unroll]] for (uint i = 0; i < LANE_CHUNKS; ++i) {
        Run loaded[CHUNK_RUNS];
        load_chunk(weight_row(row), step_chunk(step, first + i, n_columns), loaded);
        [[unroll]] for (uint run = 0; run < CHUNK_RUNS; ++run) {
            bound = max(bound, run_bound(loaded[run]));
            runs[i * CHUNK_RUNS + run] = loaded[run];
        }
    }
    if (!KEEPS_ROW) {
        int exponent = first == 0u ? weight_exponents[row] : 0;
        kept_exponent = ROW_LANES == 1u
                            ? exponent
                            : subgroupShuffle(exponent, gl_SubgroupInvocationID / ROW_LANES * ROW_LANES);
        kept_vector = row * STAGED_STRIDE + first * CHUNK_RUNS * RUN_VECTORS;
    }
    kept_exponent = fit_exponent(kept_exponent, bound, row, step, first == 0u);
    float scale = uintBitsToFloat(uint(127 - kept_exponent) << 23);  // 2^-exponent, which is in range
    [[unroll]] for (uint i = 0; i < LANE_CHUNKS; ++i) {
        bool is_there = (first + i) * CHUNK_RUNS < step_runs(step, n_columns);  // else behind the row's end
        [[unroll]] for (uint run = i * CHUNK_RUNS; run < (i + 1u) * CHUNK_RUNS; ++run) {
            stage_run(kept_vector + run * RUN_VECTORS, runs[run], is_there ? scale : 0.0);
        }
    }
}

const uint STEP_VECTORS = STEP_RUNS * RUN_VECTORS;
// Whether an invocation stages the same vector of several tokens: kept_token and every TOKENS_AT_ONCE after it.
const bool KEEPS_VECTOR = gl_WorkGroupSize.x % STEP_VECTORS == 0u;
const uint TOKENS_AT_ONCE = gl_WorkGroupSize.x / STEP_VECTORS;
uint kept_token;
uint kept_run;     // of the step
uint kept_part;    // which vector of the run
uint kept_staged;  // its place in staged_tokens

void begin_tile() {
    for (uint row = gl_LocalInvocationID.x; row < TILE_ROWS; row += gl_WorkGroupSize.x) weight_exponents[row] = kNoExponent;
    if (gl_LocalInvocationID.x == 0u) token_exponents[LAST_SHRINKING] = 0;
    kept_exponent = kNoExponent;
    kept_vector = gl_LocalInvocationID.x / ROW_LANES * STAGED_STRIDE +
                  gl_LocalInvocationID.x % ROW_LANES * CHUNK_RUNS * RUN_VECTORS;
    uint vector = gl_LocalInvocationID.x % STEP_VECTORS;
    kept_token = gl_LocalInvocationID.x / STEP_VECTORS;
    kept_run = vector / RUN_VECTORS;
    kept_part = vector % RUN_VECTORS;
    kept_staged = kept_token * STAGED_STRIDE + vector;
}

void stage_vector(uint item, uint step, uint n_columns) {
    uint token = item / STEP_VECTORS;
    uint vector = item % STEP_VECTORS;
    uint block = step_block(step, vector / RUN_VECTORS, n_columns);
    staged_tokens[token * STAGED_STRIDE + vector] =
        Words4(token_rows[token]).at[block * RUN_VECTORS + vector % RUN_VECTORS];
}

void stage_step(uint step, uint n_columns) {
    STAGE_ITEMS(TILE_ROWS * ROW_LANES, stage_weights, step, n_columns)
    const uint kItems = TILE_TOKENS * STEP_VECTORS;
    const uint kTurns = (kItems + gl_WorkGroupSize.x - 1) / gl_WorkGroupSize.x;
    if (KEEPS_VECTOR && kItems % gl_WorkGroupSize.x == 0u) {
        uint index = step_block(step, kept_run, n_columns) * RUN_VECTORS + kept_part;
        uvec4 vectors[kTurns];  // so that all loads are in flight together
        [[unroll]] for (uint turn = 0; turn < kTurns; ++turn) {
            vectors[turn] = Words4(token_rows[kept_token + turn * TOKENS_AT_ONCE]).at[index];
        }
        [[unroll]] for (uint turn = 0; turn < kTurns; ++turn) {
            staged_tokens[kept_staged + turn * TOKENS_AT_ONCE * STAGED_STRIDE] = vectors[turn];
        }
    } else {
        STAGE_ITEMS(kItems, stage_vector, step, n_columns)
    }
}

/// sums[r, t] of rows that took a larger exponent in this step, times their factors.
void shrink_sums();

void multiply_staged(uint step, uint n_columns) {
    if (token_exponents[LAST_SHRINKING] == int(step + 1u)) shrink_sums();
    for (uint k = 0; k < STEP_RUNS * 32u; k += K) {
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
