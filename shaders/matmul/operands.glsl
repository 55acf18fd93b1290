// What a matrix kernel multiplies: 32 weights (one run of a row, see quant/quant.glsl) by 32 activations, in RUN_PIECES
// pieces, so that neither is decoded whole into registers.
//
//   WeightPiece weight_piece(Run run, uint piece)               once for each piece, then used for several tokens
//   ActivationPiece activation_piece(uvec2 row, uint block, uint piece, uint n_columns)
//   float add_product(WeightPiece weights, ActivationPiece activation, float sum)
//   Activation load_activation(uvec2 row, uint block, uint n_columns)   of a whole run
//
// On the dot4 path activations are packed int8 (src/kernels/activation.h), else float32.
#ifndef VKMOE_SHADERS_MATMUL_OPERANDS_GLSL
#define VKMOE_SHADERS_MATMUL_OPERANDS_GLSL

#include "quant/quant.glsl"

#if defined(VKMOE_PATH_DOT4)
#include "common/dot4.glsl"

#if defined(VKMOE_HALF_OFFSETS)
#define ScaleSum vec3  // d, and d times the sum of q over the first and over the second half
#else
#define ScaleSum vec2  // d, and d times the sum of q
#endif

struct Activation {
    uint q[8];
    ScaleSum scale_sum;
};

/// What the offsets take from a product.
float offset_product(vec2 offset, ScaleSum scale_sum) {
#if defined(VKMOE_HALF_OFFSETS)
    return dot(offset, scale_sum.yz);
#else
    return offset.x * scale_sum.y;
#endif
}

Activation load_activation(uvec2 row, uint block, uint n_columns) {
    Activation result;
    Words4 quants = Words4(advance(row, block * 32u));
    uvec4 low = quants.at[0];
    uvec4 high = quants.at[1];
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        result.q[i] = low[i];
        result.q[i + 4] = high[i];
    }
    Floats scales = Floats(advance(row, n_columns + block * 8u));
#if defined(VKMOE_HALF_OFFSETS)
    const uint kOnes = 0x01010101u;
    ivec2 sums = ivec2(0);
    [[unroll]] for (uint i = 0; i < 4; ++i) sums += ivec2(dot4(low[i], kOnes), dot4(high[i], kOnes));
    float d = scales.at[0];
    result.scale_sum = vec3(d, d * vec2(sums));
#else
    result.scale_sum = vec2(scales.at[0], scales.at[1]);
#endif
    return result;
}

// A run in one piece: its products are integers.
const uint RUN_PIECES = 1;
#define WeightPiece Run
#define ActivationPiece Activation

WeightPiece weight_piece(Run run, uint piece) { return run; }
ActivationPiece activation_piece(uvec2 row, uint block, uint piece, uint n_columns) {
    return load_activation(row, block, n_columns);
}
float add_product(WeightPiece weights, ActivationPiece activation, float sum) {
    int first = 0;
    int second = 0;
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        first += dot4(weights.q[i], activation.q[i]);
        second += dot4(weights.q[i + 4], activation.q[i + 4]);
    }
    // Scales are multiplied first: those of MXFP4 reach 2^127, which an activation's can bring back to size.
    vec2 scale = activation.scale_sum.x * weights.scale;
#if defined(VKMOE_HALF_SCALES)
    float product = scale.x * float(first) + scale.y * float(second);
#else
    float product = scale.x * float(first + second);
#endif
#if defined(VKMOE_OFFSETS)
    product -= offset_product(weights.offset, activation.scale_sum);
#endif
    return sum + product;
}

#else

const uint RUN_PIECES = 8;
#define WeightPiece vec4
#define ActivationPiece vec4

WeightPiece weight_piece(Run run, uint piece) { return decode_vector(run, piece); }
ActivationPiece activation_piece(uvec2 row, uint block, uint piece, uint n_columns) {
    return Floats4(advance(row, block * 128u)).at[piece];
}
float add_product(WeightPiece w, ActivationPiece x, float sum) {
    return fma(w.w, x.w, fma(w.z, x.z, fma(w.y, x.y, fma(w.x, x.x, sum))));
}

struct Activation {
    vec4 values[8];
};

Activation load_activation(uvec2 row, uint block, uint n_columns) {
    Activation result;
    Floats4 source = Floats4(advance(row, block * 128u));
    [[unroll]] for (uint i = 0; i < 8; ++i) result.values[i] = source.at[i];
    return result;
}

#endif
#endif
