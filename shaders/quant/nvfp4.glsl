// NVFP4: blocks of 64 in 36 bytes: four 8-bit floats, then 32 bytes of nibbles, 8 for each 16 elements (i low, i + 8
// high). value = scale / 2 * twice the 4-bit float. Scales have four bits of exponent (bias 7) and three of mantissa; bit
// 7 does not count, and 0x7F is zero.
#include "quant/fp4.glsl"
#define VKMOE_HALF_SCALES 1
const uint CHUNK_RUNS = 2;

uint row_stride(uint n_columns) { return n_columns / 64u * 36u; }
uint run_block(uint chunk, uint run) { return chunk * 2u + run; }

float half_of_scale(uint code) {
    uint exponent = (code >> 3) & 15u;
    if (code == 0x7Fu) return 0.0;
    return exponent == 0u ? float(code & 7u) * (1.0 / 1024.0) : uintBitsToFloat((exponent + 119u) << 23 | (code & 7u) << 20);
}

/// The word of codes that q[i] comes from, and whether from its high nibbles.
uvec2 fp4_place(uint i) { return uvec2(i / 4u * 2u + i % 2u, i / 2u % 2u); }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    uint block = chunk * 36u;
    uint scales = row_word(row, block, 0u);
    [[unroll]] for (uint r = 0; r < 2; ++r) {
        [[unroll]] for (uint i = 0; i < 4; ++i) {
            uint word = row_word(row, block, 1u + r * 4u + i);
            uint at = i < 2 ? i : i + 2;
            uvec2 numbers = fp4_doubled(word);
#if defined(VKMOE_FP4_CODES)
            runs[r].codes[i] = word;
#endif
            runs[r].q[at] = numbers.x;
            runs[r].q[at + 2] = numbers.y;
        }
        runs[r].scale = vec2(half_of_scale((scales >> (16 * r)) & 0xFFu), half_of_scale((scales >> (16 * r + 8)) & 0xFFu));
        runs[r].offset = vec2(0.0);
    }
}
