// Packing of float32 into blocks of 32 int8 (layout: src/kernels/activation.h), for every kernel that makes activations.
//
// d = max|x| / 127, q = round(x * 127 / max|x|), ties to even. Blocks below 2^-118, where 127 / max|x| overflows, become
// zeros with d = 0. The largest magnitude is found on the bits, where an infinity beats all numbers and a NaN beats that:
// such a block gets q = 0 and that infinity or NaN as d, whatever the driver does to NaNs in arithmetic.
//
// The including shader declares kLanesPerBlock, 1, 2, 4 or 8 (1 on the scalar path): neighbouring invocations that share
// a block, 8 / kLanesPerBlock vec4 each. All of a block's lanes must be active together.
#ifndef VKMOE_SHADERS_COMMON_QUANTIZE_Q8_GLSL
#define VKMOE_SHADERS_COMMON_QUANTIZE_Q8_GLSL

#include "common/memory.glsl"

#ifndef VKMOE_PATH_SCALAR
#extension GL_KHR_shader_subgroup_shuffle : require
#endif

const uint kVectorsPerLane = 8u / kLanesPerBlock;

struct Q8Scale {
    float d;
    float inverse;  // 0: all quants are 0
};

/// magnitude: the largest floatBitsToUint(abs(x)) of the block.
Q8Scale q8_scale(uint magnitude) {
    float largest = uintBitsToFloat(magnitude);
    if (magnitude >= 0x7F800000u) return Q8Scale(largest, 0.0);
    if (magnitude < 0x04800000u) return Q8Scale(0.0, 0.0);  // 2^-118
    return Q8Scale(largest / 127.0, 127.0 / largest);
}

uint q8_magnitude(vec4 values) {
    uvec4 bits = floatBitsToUint(values) & 0x7FFFFFFFu;
    return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

/// Four quants as a word; adds them to sum.
uint q8_pack(vec4 values, Q8Scale scale, inout int sum) {
    ivec4 q = scale.inverse == 0.0 ? ivec4(0) : ivec4(roundEven(values * scale.inverse));
    sum += q.x + q.y + q.z + q.w;
    uvec4 bytes = uvec4(q) & 0xFFu;
    return bytes.x | (bytes.y << 8) | (bytes.z << 16) | (bytes.w << 24);
}

/// Writes one block of a row. values[0 .. kVectorsPerLane) are elements 4 * kVectorsPerLane * lane .. of the block, where
/// lane is the invocation's index modulo kLanesPerBlock.
void store_q8(uvec2 row, uint n_columns, uint block, uint lane, vec4 values[8]) {
    uint magnitude = 0u;
    [[unroll]] for (uint v = 0; v < kVectorsPerLane; ++v) magnitude = max(magnitude, q8_magnitude(values[v]));
#ifndef VKMOE_PATH_SCALAR
    [[unroll]] for (uint step = 1; step < kLanesPerBlock; step <<= 1) {
        magnitude = max(magnitude, subgroupShuffleXor(magnitude, step));
    }
#endif
    Q8Scale scale = q8_scale(magnitude);
    int sum = 0;
    WordsOut quants = WordsOut(row);
    [[unroll]] for (uint v = 0; v < kVectorsPerLane; ++v) {
        quants.at[block * 8u + lane * kVectorsPerLane + v] = q8_pack(values[v], scale, sum);
    }
#ifndef VKMOE_PATH_SCALAR
    [[unroll]] for (uint step = 1; step < kLanesPerBlock; step <<= 1) sum += subgroupShuffleXor(sum, step);
#endif
    if (lane == 0u) {
        FloatsOut pairs = FloatsOut(advance(row, n_columns));
        pairs.at[block * 2u] = scale.d;
        pairs.at[block * 2u + 1u] = scale.inverse == 0.0 ? scale.d : scale.d * float(sum);
    }
}

/// Bytes of a packed row: q8_row_bytes of src/kernels/activation.h.
uint q8_row_stride(uint n_columns) { return (n_columns + n_columns / 32u * 8u + 15u) & ~15u; }

#endif
