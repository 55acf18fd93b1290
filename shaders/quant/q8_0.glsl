// Q8_0: blocks of 34 bytes: float16 d, 32 int8. value = d * q.
const uint CHUNK_RUNS = 1;

uint row_stride(uint n_columns) { return n_columns / 32u * 34u; }
uint run_block(uint chunk, uint run) { return chunk; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    RowReader reader = open_reader(row, chunk * 34u);
    uint words[9];  // 8.5 words, wherever the half lies
    [[unroll]] for (uint i = 0; i < 9; ++i) words[i] = aligned_word(reader, i);
    float d;
    if (reader.shift == 0u) {
        d = unpackHalf2x16(words[0]).x;
        [[unroll]] for (uint i = 0; i < 8; ++i) runs[0].q[i] = (words[i] >> 16) | (words[i + 1] << 16);
    } else {
        d = unpackHalf2x16(words[0]).y;
        [[unroll]] for (uint i = 0; i < 8; ++i) runs[0].q[i] = words[i + 1];
    }
    runs[0].scale = vec2(d);
    runs[0].offset = vec2(0.0);
}
