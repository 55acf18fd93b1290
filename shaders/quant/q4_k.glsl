// Q4_K: blocks of 256 in 144 bytes: float16 d, dmin; 12 bytes of 6-bit scales and minimums; 128 bytes of nibbles.
// Sub-blocks 2j and 2j + 1 (32 elements each) are the low and high nibbles of bytes 32j..32j+31: a chunk is one such
// pair. value = d * scale * q - dmin * minimum.
#define VKMOE_OFFSETS 1
const uint CHUNK_RUNS = 2;

uint row_stride(uint n_columns) { return n_columns / 256u * 144u; }
uint run_block(uint chunk, uint run) { return chunk * 2u + run; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    uint block = (chunk >> 2) * 144u;
    uint pair = chunk & 3u;
    uvec4 header = row_words4(row, block, 0u);
    uvec4 low = row_words4(row, block + pair * 32u, 1u);
    uvec4 high = row_words4(row, block + pair * 32u, 2u);
    vec2 d = unpackHalf2x16(header.x);
    uvec2 scales = k_scales_minimums(header.yzw, pair >> 1);
    [[unroll]] for (uint r = 0; r < 2; ++r) {
        vec2 scaled = d * k_scale_minimum(scales, (pair & 1u) * 2u + r);
        [[unroll]] for (uint i = 0; i < 4; ++i) {
            runs[r].q[i] = (low[i] >> (4 * r)) & 0x0F0F0F0Fu;
            runs[r].q[i + 4] = (high[i] >> (4 * r)) & 0x0F0F0F0Fu;
        }
        runs[r].scale = scaled.xx;
        runs[r].offset = scaled.yy;
    }
}
