// IQ4_XS: blocks of 256 in 136 bytes: float16 d; a halfword of two high bits and 4 bytes of four low bits for each of
// eight scales; 128 bytes of codes, 16 a run (elements i low, i + 16 high). value = d * (scale - 32) * q.
#include "quant/iq4_values.glsl"
const uint CHUNK_RUNS = 1;

uint row_stride(uint n_columns) { return n_columns / 256u * 136u; }
uint run_block(uint chunk, uint run) { return chunk; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    uint block = (chunk >> 3) * 136u;
    uint run = chunk & 7u;
    uvec2 header = row_words2(row, block, 0u);
    uvec2 codes[2] = uvec2[2](row_words2(row, block + run * 16u, 1u), row_words2(row, block + run * 16u, 2u));
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        uvec2 values = iq4_values(codes[i / 2][i % 2]);
        runs[0].q[i] = values.x;
        runs[0].q[i + 4] = values.y;
    }
    uint scale = ((header.y >> (4u * run)) & 15u) | (((header.x >> (16u + 2u * run)) & 3u) << 4);
    runs[0].scale = vec2(unpackHalf2x16(header.x).x * (float(scale) - 32.0));
    runs[0].offset = vec2(0.0);
}
