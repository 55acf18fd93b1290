// Q6_K: blocks of 256 in 210 bytes: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 int8 scales, float16 d.
// Half h (128 elements) has nibble bytes 64h.., high bytes 32h..; its quarter p is elements 32p.. of it: nibbles of bytes
// 32(p % 2).., low for p < 2, and bits 2p of the high bytes. value = d * scale[element / 16] * (q - 32).
// A chunk takes quarters p and p + 2 of one half, which share their nibble bytes.
#define VKMOE_HALF_SCALES 1
const uint CHUNK_RUNS = 2;

uint row_stride(uint n_columns) { return n_columns / 256u * 210u; }
uint run_block(uint chunk, uint run) { return (chunk >> 1) * 4u + (chunk & 1u) + run * 2u; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    RowReader block = open_reader(row, (chunk >> 2) * 210u);
    uint half_index = (chunk >> 1) & 1u;
    uint quarter = chunk & 1u;
    RowReader nibble_reader = skip_words(block, half_index * 16u + quarter * 8u);
    RowReader high_reader = skip_words(block, 32u + half_index * 8u);
    uint nibbles_low = aligned_word(nibble_reader, 0u);
    uint high_low = aligned_word(high_reader, 0u);
    [[unroll]] for (uint i = 0; i < 8; ++i) {
        uint nibbles_next = aligned_word(nibble_reader, i + 1u);
        uint high_next = aligned_word(high_reader, i + 1u);
        uint nibbles = join_words(nibble_reader, nibbles_low, nibbles_next);
        uint high = join_words(high_reader, high_low, high_next) >> (2u * quarter);
        // 4 q - 128 = 4 (q - 32), for which the scales are a fourth: a flip of the top bit, where q - 32 would borrow.
        runs[0].q[i] = (((nibbles & 0x0F0F0F0Fu) << 2) | ((high & 0x03030303u) << 6)) ^ 0x80808080u;
        runs[1].q[i] = (((nibbles >> 2) & 0x3C3C3C3Cu) | ((high & 0x30303030u) << 2)) ^ 0x80808080u;
        nibbles_low = nibbles_next;
        high_low = high_next;
    }
    RowReader scale_reader = skip_words(block, 48u + half_index * 2u);  // eight int8, two for each quarter
    float d = 0.25 * read_half(block, 104u);
    [[unroll]] for (uint r = 0; r < 2; ++r) {
        int scales = int(read_word(scale_reader, r)) >> (16u * quarter);
        runs[r].scale = d * vec2(float((scales << 24) >> 24), float((scales << 16) >> 24));
        runs[r].offset = vec2(0.0);
    }
}
