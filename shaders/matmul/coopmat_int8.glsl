// Int8 operands of coopmat_tile.glsl: quants as they are stored, by tokens packed to int8 (src/kernels/activation.h). The
// products of a run, or of each half of it where the type has a scale for each, are summed in int32, then multiplied by
// the scales of row and token and added to the sums; offsets are multiplied by the sums of the tokens' numbers. Scales are
// loaded as matrices with a stride of 0: the layout of elements is the driver's.
//
// Where K is wider than a half with its own scale, weights are staged once for each half with zeros in the other.
#ifndef VKMOE_SHADERS_MATMUL_COOPMAT_INT8_GLSL
#define VKMOE_SHADERS_MATMUL_COOPMAT_INT8_GLSL

#include "common/dot4.glsl"

#if defined(VKMOE_HALF_SCALES) || defined(VKMOE_HALF_OFFSETS)
const uint PARTS = 2;  // of a run: columns with scales of their own
#else
const uint PARTS = 1;
#endif
const bool MASKED = K * PARTS > 32u;
const uint PART_STEPS = MASKED ? 1u : 32u / (PARTS * K);  // products of K columns in a part
// Each load begins on a 16-byte vector: with K = 8, half of each is unused.
const uint VECTOR_WORDS = K < 16u ? K / 4u : 4u;
const uint RUN_VECTORS = 8u / VECTOR_WORDS;
const uint STEP_VECTORS = K / 4u / VECTOR_WORDS;
const uint WEIGHT_VECTORS = MASKED ? RUN_VECTORS * PARTS : RUN_VECTORS;
const uint WEIGHT_STRIDE = (STEP_RUNS * WEIGHT_VECTORS) | 1u;
const uint TOKEN_STRIDE = (STEP_RUNS * RUN_VECTORS) | 1u;

shared uvec4 staged_weights[WEIGHTS_OR_SUMS(TILE_ROWS * WEIGHT_STRIDE)];
shared uvec4 staged_tokens[TILE_TOKENS * TOKEN_STRIDE];
shared float weight_scales[STEP_RUNS * PARTS * TILE_ROWS];
shared float token_scales[STEP_RUNS * TILE_TOKENS];
#if defined(VKMOE_OFFSETS)
shared float weight_offsets[STEP_RUNS * PARTS * TILE_ROWS];
shared float token_sums[STEP_RUNS * PARTS * TILE_TOKENS];
#endif

void begin_token(uint token, uvec2 x, uint n_columns) {}

const uint ATTEMPTS = 1;
void begin_attempt(bool by_all, uint begin, uint end, uint n_columns) {}
bool exceeded() { return false; }

void stage_run(uint row, uint run, Run weights) {
    [[unroll]] for (uint i = 0; i < WEIGHT_VECTORS; ++i) {
        uvec4 vector = uvec4(0u);
        [[unroll]] for (uint w = 0; w < VECTOR_WORDS; ++w) {
            uint word = i % RUN_VECTORS * VECTOR_WORDS + w;
            if (!MASKED || word / 4u == i / RUN_VECTORS) vector[w] = weights.q[word];
        }
        staged_weights[row * WEIGHT_STRIDE + run * WEIGHT_VECTORS + i] = vector;
    }
    [[unroll]] for (uint part = 0; part < PARTS; ++part) {
        weight_scales[(run * PARTS + part) * TILE_ROWS + row] = weights.scale[part];
#if defined(VKMOE_OFFSETS)
        weight_offsets[(run * PARTS + part) * TILE_ROWS + row] = weights.offset[part];
#endif
    }
}

void stage_weights(uint item, uint step, uint n_columns) {
    uint row = item / ROW_LANES;
    [[unroll]] for (uint i = 0; i < LANE_CHUNKS; ++i) {
        uint chunk = item % ROW_LANES + i;
        Run runs[CHUNK_RUNS];
        load_chunk(weight_row(row), step_chunk(step, chunk, n_columns), runs);
        [[unroll]] for (uint run = 0; run < CHUNK_RUNS; ++run) stage_run(row, chunk * CHUNK_RUNS + run, runs[run]);
    }
}

void stage_activation(uint item, uint step, uint n_columns) {
    uint token = item / STEP_RUNS;
    uint run = item % STEP_RUNS;
    uint block = step_block(step, run, n_columns);
    Words4 quants = Words4(token_rows[token]);
    uvec4 halves[2] = uvec4[2](quants.at[block * 2u], quants.at[block * 2u + 1u]);
    [[unroll]] for (uint v = 0; v < RUN_VECTORS; ++v) {
        uvec4 vector = uvec4(0u);
        [[unroll]] for (uint w = 0; w < VECTOR_WORDS; ++w) {
            uint word = v * VECTOR_WORDS + w;
            vector[w] = halves[word / 4u][word % 4u];
        }
        staged_tokens[token * TOKEN_STRIDE + run * RUN_VECTORS + v] = vector;
    }
    Floats scales = Floats(advance(token_rows[token], n_columns));
    float d = scales.at[block * 2u];
    token_scales[run * TILE_TOKENS + token] = d;
#if defined(VKMOE_OFFSETS)
    if (PARTS == 1u) {
        token_sums[run * TILE_TOKENS + token] = scales.at[block * 2u + 1u];
    } else {
        [[unroll]] for (uint part = 0; part < PARTS; ++part) {
            int sum = 0;
            [[unroll]] for (uint w = 0; w < 4; ++w) sum += dot4(halves[part][w], 0x01010101u);
            token_sums[(run * PARTS + part) * TILE_TOKENS + token] = d * float(sum);
        }
    }
#endif
}

void stage_step(uint step, uint n_columns) {
    STAGE_ITEMS(TILE_ROWS * ROW_LANES, stage_weights, step, n_columns)
    STAGE_ITEMS(TILE_TOKENS * STEP_RUNS, stage_activation, step, n_columns)
}

#define Sums coopmat<float, SCOPE, M, N, gl_MatrixUseAccumulator>

void multiply_part(uint run, uint part) {
    Sums scales[TOKEN_MATRICES];
    [[unroll]] for (uint t = 0; t < TOKEN_MATRICES; ++t) {
        coopMatLoad(scales[t], token_scales, run * TILE_TOKENS + team_token(t), 0, gl_CooperativeMatrixLayoutRowMajor);
    }
    coopmat<int8_t, SCOPE, K, N, gl_MatrixUseB> tokens[TOKEN_MATRICES * PART_STEPS];
    [[unroll]] for (uint t = 0; t < TOKEN_MATRICES; ++t) {
        [[unroll]] for (uint s = 0; s < PART_STEPS; ++s) {
            uint step = MASKED ? 0u : part * PART_STEPS + s;
            coopMatLoad(tokens[t * PART_STEPS + s], staged_tokens,
                        team_token(t) * TOKEN_STRIDE + run * RUN_VECTORS + step * STEP_VECTORS, TOKEN_STRIDE,
                        gl_CooperativeMatrixLayoutColumnMajor);
        }
    }
    [[unroll]] for (uint r = 0; r < ROW_MATRICES; ++r) {
        Sums row_scales;
        coopMatLoad(row_scales, weight_scales, (run * PARTS + part) * TILE_ROWS + team_row(r), 0,
                    gl_CooperativeMatrixLayoutColumnMajor);
        coopmat<int8_t, SCOPE, M, K, gl_MatrixUseA> weights[PART_STEPS];
        [[unroll]] for (uint s = 0; s < PART_STEPS; ++s) {
            coopMatLoad(weights[s], staged_weights,
                        team_row(r) * WEIGHT_STRIDE + run * WEIGHT_VECTORS + (part * PART_STEPS + s) * STEP_VECTORS,
                        WEIGHT_STRIDE, gl_CooperativeMatrixLayoutRowMajor);
        }
        [[unroll]] for (uint t = 0; t < TOKEN_MATRICES; ++t) {
            coopmat<int, SCOPE, M, N, gl_MatrixUseAccumulator> products =
                coopmat<int, SCOPE, M, N, gl_MatrixUseAccumulator>(0);
            [[unroll]] for (uint s = 0; s < PART_STEPS; ++s) {
                products = coopMatMulAdd(weights[s], tokens[t * PART_STEPS + s], products);
            }
            // The scales first: large ones of rows are met by small ones of tokens, before products can overflow.
            sums[r * TOKEN_MATRICES + t] += Sums(products) * (row_scales * scales[t]);
        }
    }
}

#if defined(VKMOE_OFFSETS)
void subtract_offsets(uint run, uint part) {
    uint slice = run * PARTS + part;
    Sums token_parts[TOKEN_MATRICES];
    [[unroll]] for (uint t = 0; t < TOKEN_MATRICES; ++t) {
        coopMatLoad(token_parts[t], token_sums, slice * TILE_TOKENS + team_token(t), 0,
                    gl_CooperativeMatrixLayoutRowMajor);
    }
    [[unroll]] for (uint r = 0; r < ROW_MATRICES; ++r) {
        Sums offsets;
        coopMatLoad(offsets, weight_offsets, slice * TILE_ROWS + team_row(r), 0,
                    gl_CooperativeMatrixLayoutColumnMajor);
        [[unroll]] for (uint t = 0; t < TOKEN_MATRICES; ++t) {
            sums[r * TOKEN_MATRICES + t] -= offsets * token_parts[t];
        }
    }
}
#endif

void multiply_staged(uint step, uint n_columns) {
    uint n_runs = step_runs(step, n_columns);
    [[dont_unroll]] for (uint run = 0; run < n_runs; ++run) {
        [[dont_unroll]] for (uint part = 0; part < PARTS; ++part) {
            multiply_part(run, part);
#if defined(VKMOE_OFFSETS)
            subtract_offsets(run, part);
#endif
        }
    }
}

float finished(uint row, uint token, float sum) { return sum; }

#endif
