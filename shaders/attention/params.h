// Push constants of the attention kernels, for C++ and GLSL.
#ifndef VKMOE_SHADERS_ATTENTION_PARAMS_H
#define VKMOE_SHADERS_ATTENTION_PARAMS_H

#include "common/shared.h"

#ifdef __cplusplus
namespace vkmoe {
#endif

struct QkNormRopeParams {
    VKMOE_POINTER q;
    VKMOE_POINTER k;
    VKMOE_POINTER v;
    VKMOE_POINTER q_out;
    VKMOE_POINTER q_norm;  // null: no norm
    VKMOE_POINTER k_norm;  // null: no norm
    VKMOE_POINTER positions;
    VKMOE_POINTER rope_table;
    VKMOE_POINTER k_cache;
    VKMOE_POINTER v_cache;
    VKMOE_UINT q_stride;  // strides: floats from token to token
    VKMOE_UINT k_stride;
    VKMOE_UINT v_stride;
    VKMOE_UINT q_out_stride;
    VKMOE_UINT n_heads;
    VKMOE_UINT n_kv_heads;
    VKMOE_UINT n_context;
    VKMOE_UINT rope_dims;
    VKMOE_FLOAT norm_epsilon;
    VKMOE_FLOAT attention_factor;
    VKMOE_UINT n_tokens;
    VKMOE_UINT padding;
};
VKMOE_CHECK_SIZE(QkNormRopeParams, 128);

// Scratch of split attention: with i = (token * n_heads + head) * n_splits + split, float pairs [i] {greatest score, sum of
// weights}, then, from part_offset floats on, rows [i] of head_dim floats: the weighted sum of V. Scores are in powers of two,
// weights relative to the greatest score. A part that saw no row has sum 0 and leaves its row as it was.
struct AttentionParams {
    VKMOE_POINTER q;
    VKMOE_POINTER k_cache;
    VKMOE_POINTER v_cache;
    VKMOE_POINTER positions;
    VKMOE_POINTER result;  // where part_offset is not 0: scratch
    VKMOE_UINT q_stride;  // floats from token to token
    VKMOE_UINT n_tokens;
    VKMOE_UINT n_heads;
    VKMOE_UINT heads_per_kv;
    VKMOE_UINT n_context;
    VKMOE_UINT window;  // 0: none
    VKMOE_UINT n_splits;
    VKMOE_UINT part_offset;  // floats; 0: no parts, result is float32 [n_tokens, n_heads * head_dim]
    VKMOE_FLOAT scale;  // of scores in powers of two
    VKMOE_UINT n_kv_heads;
};
VKMOE_CHECK_SIZE(AttentionParams, 80);

struct AttentionReduceParams {
    VKMOE_POINTER scratch;
    VKMOE_POINTER result;  // null: not wanted
    VKMOE_POINTER q8_out;  // null: not wanted
    VKMOE_UINT n_rows;     // n_tokens * n_heads
    VKMOE_UINT n_heads;
    VKMOE_UINT head_dim;
    VKMOE_UINT n_splits;
    VKMOE_UINT part_offset;  // floats
    VKMOE_UINT q8_row_bytes;
};
VKMOE_CHECK_SIZE(AttentionReduceParams, 48);

#ifdef __cplusplus
}  // namespace vkmoe
#endif

#endif
