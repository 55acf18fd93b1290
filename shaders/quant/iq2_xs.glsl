// IQ2_XS: blocks of 256 in 74 bytes: float16 d; 32 halfwords, each an index (9 bits) into the grid of 512 eights and a
// sign code (7 bits); 8 bytes of scales, one nibble a half run. value = d * (scale + 0.5) / 4 * q.
#define VKMOE_HALF_SCALES 1
#include "quant/grid.glsl"
#include "quant/iq_signs.glsl"
const uint CHUNK_RUNS = 1;

uint row_stride(uint n_columns) { return n_columns / 256u * 74u; }
uint run_block(uint chunk, uint run) { return chunk; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    RowReader block = open_reader(row, (chunk >> 3) * 74u);
    uint run = chunk & 7u;
    uvec2 words = words2_at(block, 2u + run * 8u);
    uint signs = even_signs(((words.x >> 9) & 0x7Fu) | ((words.x >> 17) & 0x7F00u) | ((words.y << 7) & 0x7F0000u) |
                            ((words.y >> 1) & 0x7F000000u));
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        uvec2 values = grid8((words[i / 2] >> (16 * (i % 2))) & 0x1FFu);
        runs[0].q[2 * i] = apply_signs(values.x, signs >> (8 * i));
        runs[0].q[2 * i + 1] = apply_signs(values.y, signs >> (8 * i + 4));
    }
    uint scales = byte_at(block, 66u + run);
    runs[0].scale = read_half(block, 0u) * (0.25 * vec2(scales & 15u, scales >> 4) + 0.125);
    runs[0].offset = vec2(0.0);
}
