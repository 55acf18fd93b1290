// IQ1_M: blocks of 256 in 56 bytes: 32 bytes, low parts of indices into the grid of 2048 eights of -1, 0 and 1; 16 bytes
// of nibbles, one for each index: its three high bits, and the sign of its eight's shift; four halfwords, each four scales
// of three bits, and a nibble of float16 d on top. value = d * (2 * scale + 1) * (grid +- 1/8), scales for half runs.
#define VKMOE_HALF_SCALES 1
#include "quant/grid.glsl"
const uint CHUNK_RUNS = 1;

uint row_stride(uint n_columns) { return n_columns / 256u * 56u; }
uint run_block(uint chunk, uint run) { return chunk; }

/// 8 * grid + 1, or 8 * grid - 1 = ~(8 * -grid): each byte of 8 * grid is 0, or 8 or -8, which differ in the upper nibble.
uint eighths(uint values, bool minus) {
    uint eights = (values << 3) & 0xF8F8F8F8u;
    return minus ? ~(eights ^ ((eights & 0x08080808u) * 0x1Eu)) : eights | 0x01010101u;
}

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    uint block = (chunk >> 3) * 56u;
    uint run = chunk & 7u;
    uint low = row_word(row, block, run);
    uint high = row_word(row, block, 8u + (run >> 1)) >> ((run & 1u) * 16u);
    uvec2 scales = row_words2(row, block, 6u);
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        uvec2 values = grid8(((low >> (8 * i)) & 0xFFu) | (((high << 8) >> (4 * i)) & 0x700u));
        bool minus = (high & (8u << (4 * i))) != 0u;
        runs[0].q[2 * i] = eighths(values.x, minus);
        runs[0].q[2 * i + 1] = eighths(values.y, minus);
    }
    uint d = ((scales.x >> 12) & 0xFu) | ((scales.x >> 24) & 0xF0u) | ((scales.y >> 4) & 0xF00u) | ((scales.y >> 16) & 0xF000u);
    uint pair = (run < 4u ? scales.x : scales.y) >> ((run & 2u) * 8u + (run & 1u) * 6u);
    runs[0].scale = 0.125 * unpackHalf2x16(d).x * vec2(2u * uvec2(pair & 7u, (pair >> 3) & 7u) + 1u);
    runs[0].offset = vec2(0.0);
}
