// IQ2_S: blocks of 256 in 82 bytes: float16 d; 32 bytes, low parts of indices into the grid of 1024 eights; 32 bytes of
// signs; 8 bytes of two high bits for each index; 8 bytes of scales, one nibble a half run. value = d * (scale + 0.5) / 4
// * q.
#define VKMOE_HALF_SCALES 1
#include "quant/grid.glsl"
#include "quant/iq_signs.glsl"
const uint CHUNK_RUNS = 1;

uint row_stride(uint n_columns) { return n_columns / 256u * 82u; }
uint run_block(uint chunk, uint run) { return chunk; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    RowReader block = open_reader(row, (chunk >> 3) * 82u);
    uint run = chunk & 7u;
    uint low = word_at(block, 2u + run * 4u);
    uint signs = word_at(block, 34u + run * 4u);
    uint high = byte_at(block, 66u + run) << 8;
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        uvec2 values = grid8(((low >> (8 * i)) & 0xFFu) | ((high >> (2 * i)) & 0x300u));
        runs[0].q[2 * i] = apply_signs(values.x, signs >> (8 * i));
        runs[0].q[2 * i + 1] = apply_signs(values.y, signs >> (8 * i + 4));
    }
    uint scales = byte_at(block, 74u + run);
    runs[0].scale = read_half(block, 0u) * (0.25 * vec2(scales & 15u, scales >> 4) + 0.125);
    runs[0].offset = vec2(0.0);
}
