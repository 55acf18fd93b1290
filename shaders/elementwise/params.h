// Push constants of the kernels over rows. Rows of activations begin on 16-byte boundaries; strides are in floats.
#ifndef VKMOE_SHADERS_ELEMENTWISE_PARAMS_H
#define VKMOE_SHADERS_ELEMENTWISE_PARAMS_H

#include "common/shared.h"

#ifdef __cplusplus
namespace vkmoe {
#endif

struct EmbedRowsParams {
    VKMOE_POINTER table;
    VKMOE_POINTER tokens;
    VKMOE_POINTER destination;
    VKMOE_UINT n_tokens;
    VKMOE_UINT n_columns;
    VKMOE_UINT n_vocabulary;
    VKMOE_FLOAT scale;
    VKMOE_POINTER codebook;  // of the table's type, where it has one
};
VKMOE_CHECK_SIZE(EmbedRowsParams, 48);

struct RmsNormParams {
    VKMOE_POINTER source;
    VKMOE_POINTER weight;          // null: all ones
    VKMOE_POINTER destination;     // null: not wanted
    VKMOE_POINTER destination_q8;  // null: not wanted
    VKMOE_UINT n_rows;
    VKMOE_UINT n_columns;
    VKMOE_UINT source_stride;
    VKMOE_FLOAT epsilon;
};
VKMOE_CHECK_SIZE(RmsNormParams, 48);

struct QuantizeQ8Params {
    VKMOE_POINTER source;
    VKMOE_POINTER destination_q8;
    VKMOE_UINT n_rows;
    VKMOE_UINT n_columns;
    VKMOE_UINT source_stride;
    VKMOE_UINT reserved;  // keeps the size a multiple of 8, as C++ has it
};
VKMOE_CHECK_SIZE(QuantizeQ8Params, 32);

struct PackFloat16Params {
    VKMOE_POINTER source;
    VKMOE_POINTER destination;
    VKMOE_POINTER ids;  // a word for each row: those of n_experts and above are left out; null: none are
    VKMOE_UINT n_rows;
    VKMOE_UINT n_columns;
    VKMOE_UINT source_stride;
    VKMOE_UINT n_experts;
};
VKMOE_CHECK_SIZE(PackFloat16Params, 40);

struct SwigluParams {
    VKMOE_POINTER gate;
    VKMOE_POINTER up;
    VKMOE_POINTER destination;     // null: not wanted
    VKMOE_POINTER destination_q8;  // null: not wanted
    VKMOE_POINTER ids;             // a word for each row: those of n_experts and above are left out; null: none are
    VKMOE_UINT n_rows;
    VKMOE_UINT n_columns;
    VKMOE_UINT gate_stride;
    VKMOE_UINT up_stride;
    VKMOE_UINT n_experts;
    VKMOE_UINT reserved;
};
VKMOE_CHECK_SIZE(SwigluParams, 64);

struct WeighRowsParams {
    VKMOE_POINTER source;
    VKMOE_POINTER weights;         // a float for each row of the destination
    VKMOE_POINTER destination;     // null: not wanted
    VKMOE_POINTER destination_q8;  // null: not wanted
    VKMOE_UINT n_rows;             // of the destination
    VKMOE_UINT n_slots;            // rows of the destination for each of the source
    VKMOE_UINT n_columns;
    VKMOE_UINT source_stride;
};
VKMOE_CHECK_SIZE(WeighRowsParams, 48);

struct CombineParams {
    VKMOE_POINTER expert_output;  // null: n_slots is 0
    VKMOE_POINTER weights;        // null: all 1
    VKMOE_POINTER shared_output;  // null: none
    VKMOE_POINTER shared_gate;    // null: the shared expert has none
    VKMOE_POINTER residual;       // null: none
    VKMOE_POINTER destination;
    VKMOE_POINTER ids;            // a word for each slot of a token: those of n_experts and above are left out; null: none are
    VKMOE_UINT n_tokens;
    VKMOE_UINT n_slots;
    VKMOE_UINT n_columns;
    VKMOE_UINT n_experts;
};
VKMOE_CHECK_SIZE(CombineParams, 72);

// What argmax adds to the index of a number that is not finite. No row is so long.
VKMOE_CONSTANT kArgmaxBroken = 0x80000000u;

struct ArgmaxParams {
    VKMOE_POINTER source;
    VKMOE_POINTER destination;
    VKMOE_UINT n_rows;
    VKMOE_UINT n_columns;
};
VKMOE_CHECK_SIZE(ArgmaxParams, 24);

#ifdef __cplusplus
}  // namespace vkmoe
#endif

#endif
