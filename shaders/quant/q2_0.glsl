// Q2_0: blocks of 64 in 18 bytes: float16 d, two bits an element, four neighbours a byte. value = d * (q - 1).
#define VKMOE_OFFSETS 1
const uint CHUNK_RUNS = 2;

uint row_stride(uint n_columns) { return n_columns / 64u * 18u; }
uint run_block(uint chunk, uint run) { return chunk * 2u + run; }

/// The four bit pairs of the low byte, one in each byte.
uint spread_pairs(uint pairs) {
    uint nibbles = (pairs & 0x0Fu) | ((pairs & 0xF0u) << 12);
    return (nibbles | (nibbles << 6)) & 0x03030303u;
}

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    uint block = chunk * 18u;
    RowReader reader = open_reader(row, block + 2u);
    float d = read_half(open_reader(row, block), 0u);
    [[unroll]] for (uint r = 0; r < 2; ++r) {
        [[unroll]] for (uint i = 0; i < 8; ++i) {
            runs[r].q[i] = spread_pairs(read_word(reader, r * 2u + i / 4) >> (8 * (i % 4)));
        }
        runs[r].scale = vec2(d);
        runs[r].offset = vec2(d);
    }
}
