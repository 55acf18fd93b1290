// IQ4_NL: blocks of 18 bytes: float16 d, 16 bytes of codes (elements i low, i + 16 high). value = d * q.
#include "quant/iq4_values.glsl"
const uint CHUNK_RUNS = 1;

uint row_stride(uint n_columns) { return n_columns / 32u * 18u; }
uint run_block(uint chunk, uint run) { return chunk; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    RowReader block = open_reader(row, chunk * 18u);
    uint words[5];  // 4.5 words, wherever the half lies
    [[unroll]] for (uint i = 0; i < 5; ++i) words[i] = aligned_word(block, i);
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        uvec2 values = iq4_values(block.shift == 0u ? (words[i] >> 16) | (words[i + 1] << 16) : words[i + 1]);
        runs[0].q[i] = values.x;
        runs[0].q[i + 4] = values.y;
    }
    runs[0].scale = vec2(block.shift == 0u ? unpackHalf2x16(words[0]).x : unpackHalf2x16(words[0]).y);
    runs[0].offset = vec2(0.0);
}
