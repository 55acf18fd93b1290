// Types of 16 bits a number: a run is 16 words of two. The including file gives vec2 unpack_pair(uint word).
const uint CHUNK_RUNS = 1;

struct Run {
    uvec4 words[4];
};

uint row_stride(uint n_columns) { return n_columns * 2u; }
uint run_block(uint chunk, uint run) { return chunk; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    [[unroll]] for (uint i = 0; i < 4; ++i) runs[0].words[i] = row_words4(row, chunk * 64u, i);
}

vec4 decode_vector(Run run, uint i) {
    uvec4 words = run.words[i / 2u];
    return i % 2u == 0u ? vec4(unpack_pair(words.x), unpack_pair(words.y)) : vec4(unpack_pair(words.z), unpack_pair(words.w));
}
