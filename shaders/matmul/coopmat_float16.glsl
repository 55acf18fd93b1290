// Float16 operands of coopmat_tile.glsl. Tokens come packed (pack_float16): float16 times a power of two for each row.
//
// Weights are scaled by a power of two for each row, too, so that neither tiny nor huge scales leave the range of float16.
// A row's exponent comes from a bound of its first chunk that is not zero, which is scaled to between 1 and 2; the 14 binades
// above are room for later chunks. Where one needs more, the tile is multiplied again with exponents by all of each row:
// the loop over the columns only watches for it.
#ifndef VKMOE_SHADERS_MATMUL_COOPMAT_FLOAT16_GLSL
#define VKMOE_SHADERS_MATMUL_COOPMAT_FLOAT16_GLSL

#include "common/power_of_two.glsl"
#include "matmul/run_bound.glsl"

layout(constant_id = 10) const bool BYTES_AS_HALVES = false;

const uint RUN_VECTORS = 4;  // 8 float16 each
const uint STAGED_STRIDE = STEP_RUNS * RUN_VECTORS + 1;
const uint ATTEMPTS = 2;
const uint kLargest = 0x47000000u;  // 2^15 as bits, the least bound that is out of range

shared uvec4 staged_weights[WEIGHTS_OR_SUMS(TILE_ROWS * STAGED_STRIDE)];
shared uvec4 staged_tokens[TILE_TOKENS * STAGED_STRIDE];
shared float weight_factors[TILE_ROWS];  // powers of two
// Then whether a bound was out of range. It is in this array, and 4 words long, for Mesa lays shared variables out one after
// the other: behind a single word, vectors would be loaded and stored in two or four parts.
shared int token_exponents[TILE_TOKENS + 4];
const uint IS_EXCEEDED = TILE_TOKENS;

// Of the chunks that this invocation staged, times their factors. As bits, of which NaNs are the largest: a float maximum of
// a NaN and a bound out of range may be the NaN, which fails the comparison.
uint largest_bound;

// Of an invocation, in all steps: compilers compute again what could wait in a register.
uint kept_place;   // of its first vector of kept_row
uint kept_token;   // the first of its tokens, of each of which it stages one vector
uint kept_staged;  // its place for kept_token

void begin_token(uint token, uvec2 x, uint n_columns) {
    token_exponents[token] = int(Words(advance(x, n_columns * 2u)).at[0]);
}

/// A row's factor: by the first of these chunks that is not zero, or by all.
void fit_row(uint row, uvec2 address, bool by_all, uint chunk, uint end) {
    float bound = 0.0;
    for (; chunk < end && (by_all || bound == 0.0); ++chunk) {
        Run runs[CHUNK_RUNS];
        load_chunk(address, chunk, runs);
        [[unroll]] for (uint run = 0; run < CHUNK_RUNS; ++run) bound = max(bound, run_bound(runs[run]));
    }
    weight_factors[row] = bound == 0.0 ? 1.0 : power_of_two(-exponent_of(bound));
}

/// The first of a chunk's vectors.
uint place_of(uint row, uint chunk) { return row * STAGED_STRIDE + chunk * CHUNK_RUNS * RUN_VECTORS; }

const uint STEP_VECTORS = STEP_RUNS * RUN_VECTORS;

/// Before the steps from begin to end are multiplied.
void begin_attempt(bool by_all, uint begin, uint end, uint n_columns) {
    if (!by_all && gl_LocalInvocationID.x == 0u) token_exponents[IS_EXCEEDED] = 0;
    largest_bound = 0u;
    uint row_lane = gl_LocalInvocationID.x % ROW_LANES;
    kept_place = place_of(gl_LocalInvocationID.x / ROW_LANES, row_lane);
    uint vector = gl_LocalInvocationID.x % STEP_VECTORS;
    kept_token = gl_LocalInvocationID.x / STEP_VECTORS;
    kept_staged = kept_token * STAGED_STRIDE + vector;

    begin *= STEP_CHUNKS;
    end = min(end * STEP_CHUNKS, chunks_of(n_columns));
    if (KEEPS_ROW) {
        uint row = gl_LocalInvocationID.x / ROW_LANES;
        if (row < TILE_ROWS && row_lane == 0u) fit_row(row, kept_row, by_all, begin, end);
    } else {
        for (uint row = gl_LocalInvocationID.x; row < TILE_ROWS; row += gl_WorkGroupSize.x)
            fit_row(row, weight_rows[row], by_all, begin, end);
    }
}

/// Whether a bound was out of range. In all invocations, after the last step.
bool exceeded() {
    if (largest_bound >= kLargest) atomicOr(token_exponents[IS_EXCEEDED], 1);
    barrier();
    return token_exponents[IS_EXCEEDED] != 0;
}

/// Stages the weights of a run, times scale, and returns their bound.
float stage_run(uint vector, Run run, float scale) {
#if defined(VKMOE_QUANTIZED)
    precise vec2 fitted = run.scale * scale;  // in this order nothing overflows
    run.scale = fitted;
    run.offset *= scale;
#endif
    float bound = run_bound(run);
#if defined(VKMOE_TYPE_F16)
    [[unroll]] for (uint i = 0; i < RUN_VECTORS; ++i) staged_weights[vector + i] = scale != 0.0 ? run.words[i] : uvec4(0u);
#else
#if defined(VKMOE_QUANTIZED)
    if (BYTES_AS_HALVES) {
#if defined(VKMOE_FP4_CODES)
        // q is twice the number, and fp4_halves a 2^14th of it.
        precise vec2 scales = run.scale * 32768.0;
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
        vec2 scales = run.scale;
        vec2 offsets = -run.offset - 1152.0 * scales;
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
        return bound;
    }
    scale = 1.0;
#else
    bound *= scale;
#endif
    [[unroll]] for (uint i = 0; i < RUN_VECTORS; ++i) {
        vec4 low = decode_vector(run, 2 * i) * scale;
        vec4 high = decode_vector(run, 2 * i + 1) * scale;
        staged_weights[vector + i] =
            uvec4(packHalf2x16(low.xy), packHalf2x16(low.zw), packHalf2x16(high.xy), packHalf2x16(high.zw));
    }
#endif
    return bound;
}

void stage_weights(uint item, uint step, uint n_columns) {
    uint row = item / ROW_LANES;
    uint first = item % ROW_LANES;  // chunk
    Run runs[LANE_CHUNKS * CHUNK_RUNS];
    [[unroll]] for (uint i = 0; i < LANE_CHUNKS; ++i) {
        Run loaded[CHUNK_RUNS];
        load_chunk(weight_row(row), step_chunk(step, first + i, n_columns), loaded);
        [[unroll]] for (uint run = 0; run < CHUNK_RUNS; ++run) runs[i * CHUNK_RUNS + run] = loaded[run];
    }
    float factor = weight_factors[row];
    uint place = KEEPS_ROW ? kept_place : place_of(row, first);
    [[unroll]] for (uint i = 0; i < LANE_CHUNKS; ++i) {
        uint chunk = step * STEP_CHUNKS + first + i;
        // Behind the row's end, its last chunk is there again.
        float scale = STEP_CHUNKS != 1u && step_chunk(step, first + i, n_columns) < chunk ? 0.0 : factor;
        [[unroll]] for (uint run = i * CHUNK_RUNS; run < (i + 1u) * CHUNK_RUNS; ++run) {
            float bound = stage_run(place + run * RUN_VECTORS, runs[run], scale);
            largest_bound = max(largest_bound, floatBitsToUint(bound) & 0x7FFFFFFFu);
        }
    }
}

// Whether an invocation stages the same vector of several tokens: kept_token and every TOKENS_AT_ONCE after it.
const bool KEEPS_VECTOR = gl_WorkGroupSize.x % STEP_VECTORS == 0u;
const uint TOKENS_AT_ONCE = gl_WorkGroupSize.x / STEP_VECTORS;

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
        uint vector = gl_LocalInvocationID.x % STEP_VECTORS;
        uint index = step_block(step, vector / RUN_VECTORS, n_columns) * RUN_VECTORS + vector % RUN_VECTORS;
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

void multiply_staged(uint step, uint n_columns) {
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
    return times_power_of_two(sum, token_exponents[token] - exponent_of(weight_factors[row]));
}

#endif
