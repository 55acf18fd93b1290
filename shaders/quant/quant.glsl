// Decoding of stored weights: the one place where shaders know block layouts.
//
// A row is read in chunks, the least piece that one lane decodes at once. A chunk is CHUNK_RUNS runs of 32 elements;
// run r of chunk c is the aligned block of 32 elements number run_block(c, r) of the row. Each type's file gives
//
//   const uint CHUNK_RUNS            1 or 2
//   struct Run                       for quantized types: uint q[8] (32 int8), vec2 scale and vec2 offset of its halves
//   void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS])
//   uint run_block(uint chunk, uint run)
//   uint row_stride(uint n_columns)  bytes
//   vec4 decode_vector(Run run, uint i)  elements 4i to 4i + 3 of a run
//
// and for quantized types value[i] = scale[i / 16] * q[i] - offset[i / 16], so that dot products of integers need one
// multiplication a half run and one for the offset with the sum of the activations. Types whose two scales differ define
// VKMOE_HALF_SCALES; those whose offset is not zero VKMOE_OFFSETS, and VKMOE_HALF_OFFSETS too where the two differ.
// n_columns: a multiple of the block.
//
// A shader that has VKMOE_TABLE_CONSTANT, the number of a specialization constant, calls load_tables() first, in all
// invocations: some types then keep a table in shared memory where that constant is not 0.
//
// Types that look values up in a grid read it from device memory: the including shader then defines codebook(), the
// address of the type's table (src/formats/codebooks.h).
#ifndef VKMOE_SHADERS_QUANT_QUANT_GLSL
#define VKMOE_SHADERS_QUANT_QUANT_GLSL

#include "quant/row.glsl"

#if !defined(VKMOE_TYPE_F32) && !defined(VKMOE_TYPE_F16) && !defined(VKMOE_TYPE_BF16)
#define VKMOE_QUANTIZED 1

#if (defined(VKMOE_TYPE_MXFP4) || defined(VKMOE_TYPE_NVFP4)) && (defined(VKMOE_PATH_COOPMAT) || defined(VKMOE_PATH_COOPMAT2))
#define VKMOE_FP4_CODES 1
#endif

struct Run {
    uint q[8];
    vec2 scale;
    vec2 offset;
#if defined(VKMOE_FP4_CODES)
    uint codes[4];  // as stored
#endif
};

/// Four int8 of a word as floats.
vec4 unpack_int8(uint word) {
    ivec4 bytes = ivec4(int(word) << 24, int(word) << 16, int(word) << 8, int(word)) >> 24;
    return vec4(bytes);
}

vec4 decode_vector(Run run, uint i) {
    vec4 q = unpack_int8(run.q[i]);
    return i < 4u ? fma(run.scale.xxxx, q, -run.offset.xxxx) : fma(run.scale.yyyy, q, -run.offset.yyyy);
}

/// The grid of a type that has one.
uvec2 codebook();

/// Reads words from an address of any byte: blocks of some types have an odd number of halfwords or of bytes.
struct RowReader {
    Row row;
    uint offset;  // of the address in the row
    uint shift;   // of its first bit in the word that holds it
};

RowReader open_reader(Row row, uint offset) { return RowReader(row, offset, row_byte(row, offset) * 8u); }

/// The same number of bits into a word, `words` further on. What varies among the lanes belongs here: a load takes a
/// constant index without computing an address.
RowReader skip_words(RowReader reader, uint words) {
    return RowReader(reader.row, reader.offset + words * 4u, reader.shift);
}

/// The aligned word that is index words after the one that holds the address.
uint aligned_word(RowReader reader, uint index) { return row_aligned_word(reader.row, reader.offset, index); }

/// The word from the address on, of the aligned ones around it.
uint join_words(RowReader reader, uint low, uint high) {
    return reader.shift == 0u ? low : (high << (32u - reader.shift)) | (low >> reader.shift);
}

uint read_word(RowReader reader, uint index) {
    return join_words(reader, aligned_word(reader, index), aligned_word(reader, index + 1u));
}

/// The float16 that is index halfwords from the address. index: even
float read_half(RowReader reader, uint index) {
    vec2 halves = unpackHalf2x16(aligned_word(reader, index >> 1));
    return reader.shift == 0u ? halves.x : halves.y;
}

/// The difference of each byte, as int8, for bytes below 128: no borrow crosses a byte because the top bit is lent and
/// taken back.
uint subtract_bytes(uint word, uint subtrahend) { return ((word | 0x80808080u) - subtrahend) ^ 0x80808080u; }

/// The four low bits, one in each byte.
uint spread_bits(uint bits) { return ((bits & 15u) * 0x00204081u) & 0x01010101u; }

#include "quant/k_scales.glsl"
#endif

#if defined(VKMOE_TYPE_F32)
#include "quant/f32.glsl"
#elif defined(VKMOE_TYPE_F16)
#include "quant/f16.glsl"
#elif defined(VKMOE_TYPE_BF16)
#include "quant/bf16.glsl"
#elif defined(VKMOE_TYPE_Q4_0)
#include "quant/q4_0.glsl"
#elif defined(VKMOE_TYPE_Q4_1)
#include "quant/q4_1.glsl"
#elif defined(VKMOE_TYPE_Q5_0)
#include "quant/q5_0.glsl"
#elif defined(VKMOE_TYPE_Q5_1)
#include "quant/q5_1.glsl"
#elif defined(VKMOE_TYPE_Q8_0)
#include "quant/q8_0.glsl"
#elif defined(VKMOE_TYPE_Q2_K)
#include "quant/q2_k.glsl"
#elif defined(VKMOE_TYPE_Q3_K)
#include "quant/q3_k.glsl"
#elif defined(VKMOE_TYPE_Q4_K)
#include "quant/q4_k.glsl"
#elif defined(VKMOE_TYPE_Q5_K)
#include "quant/q5_k.glsl"
#elif defined(VKMOE_TYPE_Q6_K)
#include "quant/q6_k.glsl"
#elif defined(VKMOE_TYPE_TQ1_0)
#include "quant/tq1_0.glsl"
#elif defined(VKMOE_TYPE_TQ2_0)
#include "quant/tq2_0.glsl"
#elif defined(VKMOE_TYPE_MXFP4)
#include "quant/mxfp4.glsl"
#elif defined(VKMOE_TYPE_NVFP4)
#include "quant/nvfp4.glsl"
#elif defined(VKMOE_TYPE_Q1_0)
#include "quant/q1_0.glsl"
#elif defined(VKMOE_TYPE_Q2_0)
#include "quant/q2_0.glsl"
#elif defined(VKMOE_TYPE_IQ1_S)
#include "quant/iq1_s.glsl"
#elif defined(VKMOE_TYPE_IQ1_M)
#include "quant/iq1_m.glsl"
#elif defined(VKMOE_TYPE_IQ2_XXS)
#include "quant/iq2_xxs.glsl"
#elif defined(VKMOE_TYPE_IQ2_XS)
#include "quant/iq2_xs.glsl"
#elif defined(VKMOE_TYPE_IQ2_S)
#include "quant/iq2_s.glsl"
#elif defined(VKMOE_TYPE_IQ3_XXS)
#include "quant/iq3_xxs.glsl"
#elif defined(VKMOE_TYPE_IQ3_S)
#include "quant/iq3_s.glsl"
#elif defined(VKMOE_TYPE_IQ4_NL)
#include "quant/iq4_nl.glsl"
#elif defined(VKMOE_TYPE_IQ4_XS)
#include "quant/iq4_xs.glsl"
#else
#error "compile with -DVKMOE_TYPE_<TYPE>=1"
#endif

void decode_run(Run run, out vec4 values[8]) {
    [[unroll]] for (uint i = 0; i < 8; ++i) values[i] = decode_vector(run, i);
}

#if defined(VKMOE_TABLE_CONSTANT) && !defined(VKMOE_TYPE_IQ4_NL) && !defined(VKMOE_TYPE_IQ4_XS)
void load_tables() {}
#endif

#endif
