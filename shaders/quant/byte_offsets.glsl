// Reads at byte offsets from a block that starts at any even address.

RowReader reader_at(RowReader block, uint offset) { return open_reader(block.row, block.offset + offset); }

uint byte_at(RowReader block, uint offset) {
    RowReader reader = reader_at(block, offset);
    return (aligned_word(reader, 0u) >> reader.shift) & 0xFFu;
}

/// offset: even, here and below
uint halfword_at(RowReader block, uint offset) {
    RowReader reader = reader_at(block, offset);
    return (aligned_word(reader, 0u) >> reader.shift) & 0xFFFFu;
}

uint word_at(RowReader block, uint offset) { return read_word(reader_at(block, offset), 0u); }

uvec2 words2_at(RowReader block, uint offset) {
    RowReader reader = reader_at(block, offset);
    uvec3 words = uvec3(aligned_word(reader, 0u), aligned_word(reader, 1u), aligned_word(reader, 2u));
    return uvec2(join_words(reader, words.x, words.y), join_words(reader, words.y, words.z));
}
