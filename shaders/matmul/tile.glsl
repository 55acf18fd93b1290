// A tile of TILE_ROWS weight rows by TILE_TOKENS tokens, computed by one workgroup: runs of both are staged in shared
// memory (packed int8 on the dot4 path, float32 else), and each invocation keeps ROWS x TOKENS sums in registers.
//
// The including shader declares the specialization constants ROWS, TOKENS, ROW_LANES (how many invocations lie along the
// rows) and WORDS, fills weight_row_of and token_row_of, calls multiply_tile(), and reads sums[r * TOKENS + t], which is row
// r * ROW_LANES + row_lane() by token t * TOKEN_LANES + token_lane() of the tile: neighbours in a subgroup touch
// neighbours in shared memory.
//
// Of a run's 8 words (vectors on float32), WORDS at a time are unrolled: with more than 1, lavapipe takes up to ten times
// as long to compile a pipeline.
#ifndef VKMOE_SHADERS_MATMUL_TILE_GLSL
#define VKMOE_SHADERS_MATMUL_TILE_GLSL

#include "matmul/operands.glsl"

const uint STEP_RUNS = 2;
#include "matmul/steps.glsl"

const uint TOKEN_LANES = gl_WorkGroupSize.x / ROW_LANES;
const uint TILE_ROWS = ROWS * ROW_LANES;
const uint TILE_TOKENS = TOKENS * TOKEN_LANES;

uint row_lane() { return gl_LocalInvocationID.x % ROW_LANES; }
uint token_lane() { return gl_LocalInvocationID.x / ROW_LANES; }

/// Where row i of the tile's weights, and token i's activations, are; defined by the including shader.
uvec2 weight_row_of(uint i);
uvec2 token_row_of(uint i);

float sums[ROWS * TOKENS];

// Where all that an invocation stages is of one row, the row, whose address compilers would leave in the loop. (A macro, for
// as a specialization constant it ends Mesa 26.2.6's compiler. Tokens kept likewise spill on Intel's GPUs before Xe2.)
#define KEEPS_ROW (gl_WorkGroupSize.x % TILE_ROWS == 0 || TILE_ROWS * STEP_CHUNKS <= gl_WorkGroupSize.x)
uvec2 kept_row;

#if defined(VKMOE_PATH_DOT4)

shared uint weight_quants[STEP_RUNS * 8 * TILE_ROWS];
shared vec4 weight_scales[STEP_RUNS * TILE_ROWS];  // scale, offset
shared uint token_quants[STEP_RUNS * 8 * TILE_TOKENS];
shared ScaleSum token_scales[STEP_RUNS * TILE_TOKENS];

void stage_run(uint row, uint run, Run weights) {
    [[unroll]] for (uint i = 0; i < 8; ++i) weight_quants[(run * 8 + i) * TILE_ROWS + row] = weights.q[i];
    weight_scales[run * TILE_ROWS + row] = vec4(weights.scale, weights.offset);
}

void stage_token(uint token, uint run, Activation activation) {
    [[unroll]] for (uint i = 0; i < 8; ++i) token_quants[(run * 8 + i) * TILE_TOKENS + token] = activation.q[i];
    token_scales[run * TILE_TOKENS + token] = activation.scale_sum;
}

int products[ROWS * TOKENS];  // of a run, or of a half with a scale of its own

void add_words(uint first, uint n) {
    [[unroll]] for (uint i = 0; i < n; ++i) {
        uint word = first + i;
        uint w[ROWS];
        [[unroll]] for (uint r = 0; r < ROWS; ++r) w[r] = weight_quants[word * TILE_ROWS + r * ROW_LANES + row_lane()];
        [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
            uint x = token_quants[word * TILE_TOKENS + t * TOKEN_LANES + token_lane()];
            [[unroll]] for (uint r = 0; r < ROWS; ++r) products[r * TOKENS + t] += dot4(w[r], x);
        }
    }
}

void add_products(uint first_word, uint n_words, float scales[ROWS], float token_scale[TOKENS]) {
    [[unroll]] for (uint i = 0; i < ROWS * TOKENS; ++i) products[i] = 0;
    if (WORDS >= n_words) {  // without a loop, before which compilers would move zeros into registers
        add_words(first_word, n_words);
    } else {
        [[dont_unroll]] for (uint first = 0; first < n_words; first += WORDS) add_words(first_word + first, WORDS);
    }
    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
        [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
            sums[r * TOKENS + t] += scales[r] * token_scale[t] * float(products[r * TOKENS + t]);
        }
    }
}

void multiply_staged(uint run) {
    vec4 w[ROWS];
    float first[ROWS];
    float second[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
        w[r] = weight_scales[run * TILE_ROWS + r * ROW_LANES + row_lane()];
        first[r] = w[r].x;
        second[r] = w[r].y;
    }
    float token_scale[TOKENS];
    [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
        ScaleSum scale_sum = token_scales[run * TILE_TOKENS + t * TOKEN_LANES + token_lane()];
        token_scale[t] = scale_sum.x;
#if defined(VKMOE_OFFSETS)
        [[unroll]] for (uint r = 0; r < ROWS; ++r) sums[r * TOKENS + t] -= offset_product(w[r].zw, scale_sum);
#endif
    }
#if defined(VKMOE_HALF_SCALES)
    add_products(run * 8, 4, first, token_scale);
    add_products(run * 8 + 4, 4, second, token_scale);
#else
    add_products(run * 8, 8, first, token_scale);
#endif
}

#else

shared vec4 weight_values[STEP_RUNS * 8 * TILE_ROWS];
shared vec4 token_values[STEP_RUNS * 8 * TILE_TOKENS];

void stage_run(uint row, uint run, Run weights) {
    vec4 values[8];
    decode_run(weights, values);
    [[unroll]] for (uint i = 0; i < 8; ++i) weight_values[(run * 8 + i) * TILE_ROWS + row] = values[i];
}

void stage_token(uint token, uint run, Activation activation) {
    [[unroll]] for (uint i = 0; i < 8; ++i) token_values[(run * 8 + i) * TILE_TOKENS + token] = activation.values[i];
}

void multiply_staged(uint run) {
    [[dont_unroll]] for (uint first = 0; first < 8; first += WORDS) {
        [[unroll]] for (uint i = 0; i < WORDS; ++i) {
            uint vector = run * 8 + first + i;
            vec4 w[ROWS];
            [[unroll]] for (uint r = 0; r < ROWS; ++r) w[r] = weight_values[vector * TILE_ROWS + r * ROW_LANES + row_lane()];
            [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
                vec4 x = token_values[vector * TILE_TOKENS + t * TOKEN_LANES + token_lane()];
                [[unroll]] for (uint r = 0; r < ROWS; ++r) {
                    float sum = sums[r * TOKENS + t];
                    sums[r * TOKENS + t] = fma(w[r].x, x.x, fma(w[r].y, x.y, fma(w[r].z, x.z, fma(w[r].w, x.w, sum))));
                }
            }
        }
    }
}

#endif

void stage_chunk(uint item, uint step, uint n_columns) {
    uint row = item % TILE_ROWS;
    uint chunk = item / TILE_ROWS;
    Run runs[CHUNK_RUNS];
    load_chunk(KEEPS_ROW ? kept_row : weight_row_of(row), step_chunk(step, chunk, n_columns), runs);
    [[unroll]] for (uint run = 0; run < CHUNK_RUNS; ++run) stage_run(row, chunk * CHUNK_RUNS + run, runs[run]);
}

void stage_activation(uint item, uint step, uint n_columns) {
    uint token = item % TILE_TOKENS;
    uint run = item / TILE_TOKENS;
    stage_token(token, run, load_activation(token_row_of(token), step_block(step, run, n_columns), n_columns));
}

/// Every invocation of the workgroup must call it. Of the columns, part number part of n_parts.
void multiply_tile(uint n_columns, uint part, uint n_parts) {
    [[unroll]] for (uint i = 0; i < ROWS * TOKENS; ++i) sums[i] = 0.0;
    if (KEEPS_ROW) kept_row = weight_row_of(gl_LocalInvocationID.x % TILE_ROWS);
    uint end = first_step(part + 1u, n_parts, n_columns);
    [[dont_unroll]] for (uint step = first_step(part, n_parts, n_columns); step < end; ++step) {
        STAGE_ITEMS(TILE_ROWS * STEP_CHUNKS, stage_chunk, step, n_columns)
        STAGE_ITEMS(TILE_TOKENS * STEP_RUNS, stage_activation, step, n_columns)
        barrier();
        uint n_runs = step_runs(step, n_columns);
        [[dont_unroll]] for (uint run = 0; run < n_runs; ++run) multiply_staged(run);
        barrier();
    }
}

#endif
