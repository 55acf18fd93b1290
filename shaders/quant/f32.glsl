// F32: a run is 32 floats.
const uint CHUNK_RUNS = 1;

struct Run {
    vec4 values[8];
};

uint row_stride(uint n_columns) { return n_columns * 4u; }
uint run_block(uint chunk, uint run) { return chunk; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    [[unroll]] for (uint i = 0; i < 8; ++i) runs[0].values[i] = row_floats4(row, chunk * 128u, i);
}

vec4 decode_vector(Run run, uint i) { return run.values[i]; }
