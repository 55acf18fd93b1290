// Types of 16 bits a number: a run is 16 words of two. The including file gives vec2 unpack_pair(uint word).
const uint CHUNK_RUNS = 1;

struct Run {
    uvec4 words[4];
};

uint row_stride(uint n_columns) { return n_columns * 2u; }
uint run_block(uint chunk, uint run) { return chunk; }

void load_chunk(uvec2 row, uint chunk, out Run runs[CHUNK_RUNS]) {
    Words4 source = Words4(row);
    [[unroll]] for (uint i = 0; i < 4; ++i) runs[0].words[i] = source.at[chunk * 4u + i];
}

void decode_run(Run run, out vec4 values[8]) {
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        values[2 * i] = vec4(unpack_pair(run.words[i].x), unpack_pair(run.words[i].y));
        values[2 * i + 1] = vec4(unpack_pair(run.words[i].z), unpack_pair(run.words[i].w));
    }
}
