// MXFP4: blocks of 17 bytes: an exponent e, 16 bytes of nibbles (elements i low, i + 16 high). value = 2^(e - 128) * twice
// the 4-bit float. Blocks, and so rows, start at any byte.
#include "quant/fp4.glsl"
const uint CHUNK_RUNS = 1;

uint row_stride(uint n_columns) { return n_columns / 32u * 17u; }
uint run_block(uint chunk, uint run) { return chunk; }

/// The word of codes that q[i] comes from, and whether from its high nibbles.
uvec2 fp4_place(uint i) { return uvec2(i % 4u, i / 4u); }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    RowReader reader = open_reader(row, chunk * 17u);
    uint e_shift = reader.shift;
    uint words[5];
    [[unroll]] for (uint i = 0; i < 5; ++i) words[i] = aligned_word(reader, i);
    uint e = (words[0] >> e_shift) & 0xFFu;
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        // Nibbles start e_shift + 8 bits into a word: in two steps, for a shift by 32 is undefined.
        uint nibbles = ((words[i] >> e_shift) >> 8) | (words[i + 1] << (24u - e_shift));
        uvec2 numbers = fp4_doubled(nibbles);
#if defined(VKMOE_FP4_CODES)
        runs[0].codes[i] = nibbles;
#endif
        runs[0].q[i] = numbers.x;
        runs[0].q[i + 4] = numbers.y;
    }
    // 2^-128 and 2^-127 are denormal.
    runs[0].scale = vec2(uintBitsToFloat(e < 2u ? 0x00200000u << e : (e - 1u) << 23));
    runs[0].offset = vec2(0.0);
}
