// BF16: a run is 16 words of two bfloat16, each the upper half of a float32.
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

vec2 unpack_bfloat16(uint word) { return uintBitsToFloat(uvec2(word << 16, word & 0xFFFF0000u)); }

void decode_run(Run run, out vec4 values[8]) {
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        values[2 * i] = vec4(unpack_bfloat16(run.words[i].x), unpack_bfloat16(run.words[i].y));
        values[2 * i + 1] = vec4(unpack_bfloat16(run.words[i].z), unpack_bfloat16(run.words[i].w));
    }
}
