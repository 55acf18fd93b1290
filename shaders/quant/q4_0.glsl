// Q4_0: blocks of 18 bytes: float16 d, 16 bytes of nibbles (elements i low, i + 16 high). value = d * (q - 8).
#define VKMOE_OFFSETS 1
const uint CHUNK_RUNS = 1;

uint row_stride(uint n_columns) { return n_columns / 32u * 18u; }
uint run_block(uint chunk, uint run) { return chunk; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    RowReader reader = open_reader(row, chunk * 18u);
    uint words[5];  // 4.5 words, wherever the half lies
    [[unroll]] for (uint i = 0; i < 5; ++i) words[i] = aligned_word(reader, i);
    vec2 halves = unpackHalf2x16(words[0]);
    float d = reader.shift == 0u ? halves.x : halves.y;
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        uint word = reader.shift == 0u ? (words[i] >> 16) | (words[i + 1] << 16) : words[i + 1];
        runs[0].q[i] = word & 0x0F0F0F0Fu;
        runs[0].q[i + 4] = (word >> 4) & 0x0F0F0F0Fu;
    }
    runs[0].scale = vec2(d);
    runs[0].offset = vec2(8.0 * d);
}
