// TQ2_0: blocks of 256 in 66 bytes: 64 bytes of bit pairs, which lie as in Q2_K; float16 d. value = d * (q - 1).
#define VKMOE_OFFSETS 1
const uint CHUNK_RUNS = 2;

uint row_stride(uint n_columns) { return n_columns / 256u * 66u; }
uint run_block(uint chunk, uint run) { return chunk * 2u + run; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    RowReader reader = open_reader(row, (chunk >> 2) * 66u);
    uint part = chunk & 3u;
    RowReader pair_reader = skip_words(reader, (part >> 1) * 8u);
    uint shift = (part & 1u) * 4u;
    uint low = aligned_word(pair_reader, 0);
    [[unroll]] for (uint i = 0; i < 8; ++i) {
        uint next = aligned_word(pair_reader, i + 1u);
        uint pairs = join_words(reader, low, next) >> shift;
        runs[0].q[i] = pairs & 0x03030303u;
        runs[1].q[i] = (pairs >> 2) & 0x03030303u;
        low = next;
    }
    float d = read_half(reader, 32u);
    [[unroll]] for (uint r = 0; r < 2; ++r) {
        runs[r].scale = vec2(d);
        runs[r].offset = vec2(d);
    }
}
