// A tile of TILE_ROWS weight rows by TILE_TOKENS tokens, computed by one workgroup with cooperative matrices: one step of
// every row (steps.glsl) and the same columns of every token are staged in shared memory, then multiplied by teams of invocations. A
// team (a subgroup; the workgroup where SCOPE says so) holds ROW_MATRICES x TOKEN_MATRICES matrices of M x N sums in
// float32; ROW_TEAMS x TOKEN_TEAMS teams make the tile. All of it is chosen by the plan (src/gpu/matrix_plan.h).
//
// The including shader defines weight_row_of, token_row_of and store_sum, and calls multiply_tile() in uniform control flow.
//
// What is staged and how it is multiplied differs: float16 (coopmat, coopmat2) or int8 (coopmat_int8). Shared rows are
// padded to an odd number of 16-byte vectors, so that eight neighbouring rows lie in different banks.
#ifndef VKMOE_SHADERS_MATMUL_COOPMAT_TILE_GLSL
#define VKMOE_SHADERS_MATMUL_COOPMAT_TILE_GLSL

#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#if defined(VKMOE_PATH_COOPMAT2)
#extension GL_NV_cooperative_matrix2 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int32 : require
#endif
#if defined(VKMOE_PATH_COOPMAT_INT8)
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#else
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#endif

#include "quant/quant.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint M = 16;
layout(constant_id = 2) const uint N = 16;
layout(constant_id = 3) const uint K = 16;
layout(constant_id = 4) const uint ROW_MATRICES = 2;
layout(constant_id = 5) const uint TOKEN_MATRICES = 2;
layout(constant_id = 6) const uint ROW_TEAMS = 2;
layout(constant_id = 7) const uint TOKEN_TEAMS = 2;
layout(constant_id = 8) const int SCOPE = gl_ScopeSubgroup;
layout(constant_id = 9) const uint STEP_RUNS = 2;

#include "matmul/steps.glsl"

const uint TILE_ROWS = M * ROW_MATRICES * ROW_TEAMS;
const uint TILE_TOKENS = N * TOKEN_MATRICES * TOKEN_TEAMS;

uint team_index() { return SCOPE == gl_ScopeSubgroup ? gl_SubgroupID : 0u; }
/// The first row and token of this team's matrix r or t, in the tile.
uint team_row(uint r) { return (team_index() % ROW_TEAMS * ROW_MATRICES + r) * M; }
uint team_token(uint t) { return (team_index() / ROW_TEAMS * TOKEN_MATRICES + t) * N; }

/// Where row i of the tile's weights, and token i's activations, are; defined by the including shader. So is what becomes
/// of the sum of a row and a token, some of which may lie beyond the matrix.
uvec2 weight_row_of(uint i);
uvec2 token_row_of(uint i);
void store_sum(uint i, uint t, float sum);
#if defined(VKMOE_GATES)
bool is_gated();  // whether the second half of a team's rows are factors of the first
float gated(float gate, float up);
#endif

coopmat<float, SCOPE, M, N, gl_MatrixUseAccumulator> sums[ROW_MATRICES * TOKEN_MATRICES];

// Of a row's step an invocation stages all chunks, if there are rows for all invocations, else one. Of floats it stages one:
// chunks are loaded together, and each takes 32 registers.
#if defined(VKMOE_TYPE_F32)
const uint LANE_CHUNKS = 1u;
#else
const uint LANE_CHUNKS = TILE_ROWS >= gl_WorkGroupSize.x ? STEP_CHUNKS : 1u;
#endif
const uint ROW_LANES = STEP_CHUNKS / LANE_CHUNKS;  // neighbours that share a row

// Addresses of rows, which compilers would compute again in each step: an invocation that stages of one row keeps that row's.
const bool KEEPS_ROW = TILE_ROWS * ROW_LANES <= gl_WorkGroupSize.x;
uvec2 kept_row;
shared uvec2 weight_rows[TILE_ROWS];  // where KEEPS_ROW is false
shared uvec2 token_rows[TILE_TOKENS];

uvec2 weight_row(uint i) { return KEEPS_ROW ? kept_row : weight_rows[i]; }

/// The 16-byte vectors of staged_weights: n, or as many as hand over the sums (coopmat_elements.glsl).
#if defined(VKMOE_PATH_COOPMAT2)
#define WEIGHTS_OR_SUMS(n) (n)
#else
// Matrices that a team hands over at a time: where the kernel gates, one of gate with that of up.
#if defined(VKMOE_GATES)
const uint HANDED_OVER = ROW_MATRICES % 2 == 0 ? 2 : 1;
#else
const uint HANDED_OVER = 1;
#endif
const uint SUM_VECTORS = HANDED_OVER * ROW_TEAMS * TOKEN_TEAMS * M * N / 4;
#define WEIGHTS_OR_SUMS(n) ((n) > SUM_VECTORS ? (n) : SUM_VECTORS)
#endif

#if defined(VKMOE_PATH_COOPMAT_INT8)
#include "matmul/coopmat_int8.glsl"
#else
#include "matmul/coopmat_float16.glsl"
#endif

#if defined(VKMOE_PATH_COOPMAT2)
#include "matmul/coopmat_elements2.glsl"
#else
#include "matmul/coopmat_elements.glsl"
#endif

/// Every invocation of the workgroup must call it. Of the columns, part number part of n_parts.
void multiply_tile(uint n_columns, uint part, uint n_parts) {
    if (KEEPS_ROW) {
        kept_row = weight_row_of(gl_LocalInvocationID.x / ROW_LANES);
    } else {
        for (uint row = gl_LocalInvocationID.x; row < TILE_ROWS; row += gl_WorkGroupSize.x) {
            weight_rows[row] = weight_row_of(row);
        }
    }
    for (uint token = gl_LocalInvocationID.x; token < TILE_TOKENS; token += gl_WorkGroupSize.x) {
        uvec2 x = token_row_of(token);
        token_rows[token] = x;
        begin_token(token, x, n_columns);
    }
    uint begin = first_step(part, n_parts, n_columns);
    uint end = first_step(part + 1u, n_parts, n_columns);
    [[dont_unroll]] for (uint attempt = 0; attempt < ATTEMPTS; ++attempt) {
        [[unroll]] for (uint i = 0; i < ROW_MATRICES * TOKEN_MATRICES; ++i) {
            sums[i] = coopmat<float, SCOPE, M, N, gl_MatrixUseAccumulator>(0.0);
        }
        begin_attempt(attempt != 0u, begin, end, n_columns);
        barrier();
        [[dont_unroll]] for (uint step = begin; step < end; ++step) {
            stage_step(step, n_columns);
            barrier();
            multiply_staged(step, n_columns);
            barrier();
        }
        if (!exceeded()) break;
    }
    store_sums();
}

#endif
