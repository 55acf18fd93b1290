// Q1_0: blocks of 128 in 18 bytes: float16 d, one bit an element. value = d for a bit that is set, else -d.
#define VKMOE_OFFSETS 1
const uint CHUNK_RUNS = 2;

uint row_stride(uint n_columns) { return n_columns / 128u * 18u; }
uint run_block(uint chunk, uint run) { return chunk * 2u + run; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    uint block = (chunk >> 1) * 18u;
    RowReader reader = open_reader(row, block + 2u);
    float d = read_half(open_reader(row, block), 0u);
    [[unroll]] for (uint r = 0; r < 2; ++r) {
        uint bits = read_word(reader, (chunk & 1u) * 2u + r);
        [[unroll]] for (uint i = 0; i < 8; ++i) runs[r].q[i] = spread_bits(bits >> (4 * i));
        runs[r].scale = vec2(2.0 * d);
        runs[r].offset = vec2(d);
    }
}
