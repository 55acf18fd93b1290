// Q5_1: blocks of 24 bytes: float16 d, m; then as Q5_0. value = d * q + m.
#define VKMOE_OFFSETS 1
const uint CHUNK_RUNS = 1;

uint row_stride(uint n_columns) { return n_columns / 32u * 24u; }
uint run_block(uint chunk, uint run) { return chunk; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    uint block = chunk * 24u;
    uvec2 header = row_words2(row, block, 0u);
    uvec2 pairs[2] = uvec2[2](row_words2(row, block, 1u), row_words2(row, block, 2u));
    vec2 d_m = unpackHalf2x16(header.x);
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        uint nibbles = pairs[i / 2][i % 2];
        runs[0].q[i] = (nibbles & 0x0F0F0F0Fu) | (spread_bits(header.y >> (4 * i)) << 4);
        runs[0].q[i + 4] = ((nibbles >> 4) & 0x0F0F0F0Fu) | (spread_bits(header.y >> (4 * i + 16)) << 4);
    }
    runs[0].scale = d_m.xx;
    runs[0].offset = -d_m.yy;
}
