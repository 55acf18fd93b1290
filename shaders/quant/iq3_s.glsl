// IQ3_S: blocks of 256 in 110 bytes: float16 d; 64 bytes, low parts of indices into the grid of 512 fours; 8 bytes of a
// high bit for each index; 32 bytes of signs; 4 bytes of scales, one nibble a run. value = d * (2 * scale + 1) * q.
#include "quant/grid.glsl"
#include "quant/iq_signs.glsl"
const uint CHUNK_RUNS = 1;

uint row_stride(uint n_columns) { return n_columns / 256u * 110u; }
uint run_block(uint chunk, uint run) { return chunk; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    RowReader block = open_reader(row, (chunk >> 3) * 110u);
    uint run = chunk & 7u;
    uvec2 low = words2_at(block, 2u + run * 8u);
    uint high = byte_at(block, 66u + run) << 8;
    uint signs = word_at(block, 74u + run * 4u);
    [[unroll]] for (uint i = 0; i < 8; ++i) {
        uint index = ((low[i / 4] >> (8 * (i % 4))) & 0xFFu) | ((high >> i) & 0x100u);
        runs[0].q[i] = apply_signs(grid4(index), signs >> (4 * i));
    }
    uint scales = byte_at(block, 106u + (run >> 1)) >> ((run & 1u) * 4u);
    runs[0].scale = vec2(read_half(block, 0u) * float(2u * (scales & 15u) + 1u));
    runs[0].offset = vec2(0.0);
}
