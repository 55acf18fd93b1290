// Q5_K: blocks of 256 in 176 bytes: float16 d, dmin; 12 bytes of 6-bit scales and minimums; 32 bytes of fifth bits; 128
// bytes of nibbles. As Q4_K, with bit s of fifth-bit byte i being that of element i of sub-block s.
#define VKMOE_OFFSETS 1
const uint CHUNK_RUNS = 2;

uint row_stride(uint n_columns) { return n_columns / 256u * 176u; }
uint run_block(uint chunk, uint run) { return chunk * 2u + run; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    uint block = (chunk >> 2) * 176u;
    uint pair = chunk & 3u;
    uvec4 header = row_words4(row, block, 0u);
    uvec4 fifth[2] = uvec4[2](row_words4(row, block, 1u), row_words4(row, block, 2u));
    uvec4 nibbles[2] = uvec4[2](row_words4(row, block + pair * 32u, 3u), row_words4(row, block + pair * 32u, 4u));
    vec2 d = unpackHalf2x16(header.x);
    uvec2 scales = k_scales_minimums(header.yzw, pair >> 1);
    [[unroll]] for (uint r = 0; r < 2; ++r) {
        uint sub_block = pair * 2u + r;
        vec2 scaled = d * k_scale_minimum(scales, sub_block & 3u);
        [[unroll]] for (uint i = 0; i < 8; ++i) {
            uint low = (nibbles[i / 4][i % 4] >> (4 * r)) & 0x0F0F0F0Fu;
            runs[r].q[i] = low | (((fifth[i / 4][i % 4] >> sub_block) & 0x01010101u) << 4);
        }
        runs[r].scale = scaled.xx;
        runs[r].offset = scaled.yy;
    }
}
