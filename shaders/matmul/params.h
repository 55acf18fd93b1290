// Push constants of the matrix kernels. Read by C++ and GLSL.
#ifndef VKMOE_SHADERS_MATMUL_PARAMS_H
#define VKMOE_SHADERS_MATMUL_PARAMS_H

#include "common/shared.h"

#ifdef __cplusplus
namespace vkmoe {
#endif

/// matvec and matmul: y[t, r] = weights[r, :] . x[t, :] (+ residual[t, r])
struct MatmulParams {
    VKMOE_POINTER weights;   // [n_rows, n_columns] in the type's layout
    VKMOE_POINTER x;     // [n_tokens, n_columns], rows x_stride bytes apart
    VKMOE_POINTER y;    // float32 [n_tokens, n_rows], rows y_stride floats apart
    VKMOE_POINTER residual;  // as y; 0: none. May be y itself
    VKMOE_UINT n_rows;
    VKMOE_UINT n_columns;
    VKMOE_UINT n_tokens;
    VKMOE_UINT x_stride;   // bytes
    VKMOE_UINT y_stride;  // floats
    VKMOE_UINT n_parts;   // of the columns; more than 1 (matmul): y [n_tokens, n_parts, n_rows], the sums of each
    VKMOE_POINTER codebook;  // of the weights' type, where it has one
};
VKMOE_CHECK_SIZE(MatmulParams, 64);

/// expert_matvec and expert_matmul: pairs (token, slot) by their experts, one after the other or in tiles of one expert's.
struct ExpertParams {
    VKMOE_POINTER experts;   // addresses of the experts' records, [n_experts]
    VKMOE_POINTER ids;       // uint [n_pairs]: the expert of each pair; unused for tiles
    VKMOE_POINTER tiles;     // uvec4 [n_tiles]: expert, first of its entries in pairs, how many; then n_tiles in the first,
                             // 0 in the others
    VKMOE_POINTER pairs;     // uint [n_pairs]: pair indices sorted by expert
    VKMOE_POINTER x;         // one row for each x_divisor pairs, x_stride bytes apart
    VKMOE_POINTER first_y;   // float32 [n_pairs, n_rows]
    VKMOE_POINTER second_y;  // likewise, of the second matrix; 0: one result
    VKMOE_POINTER codebook;
    VKMOE_UINT first_offset;   // bytes from a record's start to its matrix; to gate where there are two
    VKMOE_UINT second_offset;  // to up
    VKMOE_UINT n_rows;
    VKMOE_UINT n_columns;
    VKMOE_UINT n_pairs;
    VKMOE_UINT n_experts;
    VKMOE_UINT x_divisor;  // pair / x_divisor is the row of x: slots a token, or 1
    VKMOE_UINT x_stride;   // bytes
    VKMOE_UINT matrix_groups;  // of the grid for one matrix: as many as cover its rows, or more
    VKMOE_UINT gated;  // expert_matmul: 1: first_y is silu(gate) * up, and each tile has half of its rows of either
};
VKMOE_CHECK_SIZE(ExpertParams, 104);

/// expert_matvec_sum: y[t, r] = residual[t, r] + sum over slots of weight * (expert's matrix row r . x[pair]).
struct ExpertMatvecSumParams {
    VKMOE_POINTER experts;
    VKMOE_POINTER ids;       // uint [n_tokens, n_slots]
    VKMOE_POINTER weights;   // float32 [n_tokens, n_slots]
    VKMOE_POINTER x;     // [n_tokens * n_slots, n_columns], rows x_stride bytes apart
    VKMOE_POINTER y;    // float32 [n_tokens, n_rows]
    VKMOE_POINTER residual;  // float32 [n_tokens, n_rows]; 0: none. May be y itself
    VKMOE_UINT offset;       // bytes from a record's start to its matrix
    VKMOE_UINT n_rows;
    VKMOE_UINT n_columns;
    VKMOE_UINT n_tokens;
    VKMOE_UINT n_slots;
    VKMOE_UINT n_experts;
    VKMOE_UINT x_stride;  // bytes
    VKMOE_UINT padding;
    VKMOE_POINTER codebook;
};
VKMOE_CHECK_SIZE(ExpertMatvecSumParams, 88);

#ifdef __cplusplus
}
#endif
#endif
