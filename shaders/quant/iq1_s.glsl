// IQ1_S: blocks of 256 in 50 bytes: float16 d; 32 bytes, low parts of indices into the grid of 2048 eights of -1, 0 and 1;
// eight halfwords, one a run: three high bits for each of four indices, three bits of scale, and the sign of the shift.
// value = d * (2 * scale + 1) * (q +- 1/8).
#define VKMOE_OFFSETS 1
#include "quant/grid.glsl"
const uint CHUNK_RUNS = 1;

uint row_stride(uint n_columns) { return n_columns / 256u * 50u; }
uint run_block(uint chunk, uint run) { return chunk; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    RowReader block = open_reader(row, (chunk >> 3) * 50u);
    uint run = chunk & 7u;
    uint low = word_at(block, 2u + run * 4u);
    uint high = halfword_at(block, 34u + run * 2u);
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        uvec2 values = grid8(((low >> (8 * i)) & 0xFFu) | (((high << 8) >> (3 * i)) & 0x700u));
        runs[0].q[2 * i] = values.x;
        runs[0].q[2 * i + 1] = values.y;
    }
    float scale = read_half(block, 0u) * float(2u * ((high >> 12) & 7u) + 1u);
    runs[0].scale = vec2(scale);
    runs[0].offset = vec2(high >= 0x8000u ? 0.125 * scale : -0.125 * scale);
}
