// Q5_0: blocks of 22 bytes: float16 d; 4 bytes of fifth bits (bit i for element i); 16 bytes of nibbles (elements i low,
// i + 16 high). value = d * (q - 16).
#define VKMOE_OFFSETS 1
const uint CHUNK_RUNS = 1;

uint row_stride(uint n_columns) { return n_columns / 32u * 22u; }
uint run_block(uint chunk, uint run) { return chunk; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    RowReader reader = open_reader(row, chunk * 22u);
    uint words[6];  // 5.5 words, wherever the half lies
    [[unroll]] for (uint i = 0; i < 6; ++i) words[i] = aligned_word(reader, i);
    vec2 halves = unpackHalf2x16(words[0]);
    float d = reader.shift == 0u ? halves.x : halves.y;
    uint content[5];  // after d
    [[unroll]] for (uint i = 0; i < 5; ++i) {
        content[i] = reader.shift == 0u ? (words[i] >> 16) | (words[i + 1] << 16) : words[i + 1];
    }
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        runs[0].q[i] = (content[1 + i] & 0x0F0F0F0Fu) | (spread_bits(content[0] >> (4 * i)) << 4);
        runs[0].q[i + 4] = ((content[1 + i] >> 4) & 0x0F0F0F0Fu) | (spread_bits(content[0] >> (4 * i + 16)) << 4);
    }
    runs[0].scale = vec2(d);
    runs[0].offset = vec2(16.0 * d);
}
