// Q6_K: blocks of 256 in 210 bytes: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 int8 scales, float16 d.
// Half h (128 elements) has nibble bytes 64h.., high bytes 32h..; its quarter p is elements 32p.. of it: nibbles of bytes
// 32(p % 2).., low for p < 2, and bits 2p of the high bytes. value = d * scale[element / 16] * (q - 32).
// A chunk takes quarters p and p + 2 of one half, which share their nibble bytes.
#define VKMOE_HALF_SCALES 1
const uint CHUNK_RUNS = 2;

uint row_stride(uint n_columns) { return n_columns / 256u * 210u; }
uint run_block(uint chunk, uint run) { return (chunk >> 1) * 4u + (chunk & 1u) + run * 2u; }

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    uint block = (chunk >> 2) * 210u;
    uint half_index = (chunk >> 1) & 1u;
    uint quarter = chunk & 1u;
    // Each with a pointer of its own, so that words follow it at constant distances: compilers then join their loads.
    RowReader reader = open_reader(row, block);
    RowReader nibbles_at = RowReader(row, block + half_index * 64u + quarter * 32u, reader.shift);
    RowReader high_at = RowReader(row, block + 128u + half_index * 32u, reader.shift);
    RowReader scales_at = RowReader(row, block + 192u + half_index * 8u, reader.shift);  // int8, two for each quarter
    uint nibbles_low = aligned_word(nibbles_at, 0u);
    uint high_low = aligned_word(high_at, 0u);
    [[unroll]] for (uint i = 0; i < 8; ++i) {
        uint nibbles_next = aligned_word(nibbles_at, i + 1u);
        uint high_next = aligned_word(high_at, i + 1u);
        uint nibbles = join_words(reader, nibbles_low, nibbles_next);
        uint high = join_words(reader, high_low, high_next) >> (2u * quarter);
        runs[0].q[i] = subtract_bytes((nibbles & 0x0F0F0F0Fu) | ((high & 0x03030303u) << 4), 0x20202020u);
        runs[1].q[i] = subtract_bytes(((nibbles >> 4) & 0x0F0F0F0Fu) | (high & 0x30303030u), 0x20202020u);
        nibbles_low = nibbles_next;
        high_low = high_next;
    }
    float d = read_half(reader, 104u);
    [[unroll]] for (uint r = 0; r < 2; ++r) {
        int scales = int(read_word(scales_at, r)) >> (16u * quarter);
        runs[r].scale = d * vec2(float((scales << 24) >> 24), float((scales << 16) >> 24));
        runs[r].offset = vec2(0.0);
    }
}
