// Q3_K: blocks of 256 in 110 bytes: 32 bytes of third bits; 64 bytes of bit pairs; 12 bytes of 6-bit scales; float16 d.
// Bit pairs lie as in Q2_K; bit s of third-bit byte i is that of element 32s + i. A scale has its low four bits in byte
// j % 8 (low nibble for j < 8) and its high two in bit pair j / 4 of byte 8 + j % 4. value = d * (scale - 32) * (q - 4).
#define VKMOE_HALF_SCALES 1
const uint CHUNK_RUNS = 2;

uint row_stride(uint n_columns) { return n_columns / 256u * 110u; }
uint run_block(uint chunk, uint run) { return chunk * 2u + run; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    RowReader reader = open_reader(row, (chunk >> 2) * 110u);
    uint part = chunk & 3u;
    RowReader pair_reader = skip_words(reader, 8u + (part >> 1) * 8u);
    uint third_low = aligned_word(reader, 0);
    uint pairs_low = aligned_word(pair_reader, 0);
    [[unroll]] for (uint i = 0; i < 8; ++i) {
        uint third_next = aligned_word(reader, i + 1u);
        uint pairs_next = aligned_word(pair_reader, i + 1u);
        uint third = join_words(reader, third_low, third_next) >> (part * 2u);
        uint pairs = join_words(pair_reader, pairs_low, pairs_next) >> ((part & 1u) * 4u);
        // 32 q - 128 = 32 (q - 4), for which the scales are less: a flip of the top bit, where q - 4 would borrow.
        runs[0].q[i] = (((pairs & 0x03030303u) << 5) | ((third & 0x01010101u) << 7)) ^ 0x80808080u;
        runs[1].q[i] = (((pairs & 0x0C0C0C0Cu) << 3) | ((third & 0x02020202u) << 6)) ^ 0x80808080u;
        third_low = third_next;
        pairs_low = pairs_next;
    }
    // The chunk's four scales are j = 4 part ... 4 part + 3.
    uint low = read_word(skip_words(reader, part & 1u), 24u) >> ((part >> 1) * 4u);
    uint high = read_word(reader, 26u) >> (part * 2u);
    uint scales = subtract_bytes((low & 0x0F0F0F0Fu) | ((high & 0x03030303u) << 4), 0x20202020u);
    vec4 values = read_half(reader, 54u) * (1.0 / 32.0) * unpack_int8(scales);
    runs[0].scale = values.xy;
    runs[1].scale = values.zw;
    runs[0].offset = vec2(0.0);
    runs[1].offset = vec2(0.0);
}
