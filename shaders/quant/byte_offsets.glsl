// Reads at byte offsets from a block that starts at any even address.

uint byte_at(HalfwordReader block, uint offset) {
    uint at = offset + (block.shift >> 3);
    return (block.words.at[at >> 2] >> ((at & 3u) << 3)) & 0xFFu;
}

/// offset: even, here and below
uint halfword_at(HalfwordReader block, uint offset) {
    uint at = offset + (block.shift >> 3);
    return (block.words.at[at >> 2] >> ((at & 2u) << 3)) & 0xFFFFu;
}

uint word_at(HalfwordReader block, uint offset) {
    uint at = offset + (block.shift >> 3);
    return read_word(HalfwordReader(block.words, (at & 2u) << 3), at >> 2);
}

uvec2 words2_at(HalfwordReader block, uint offset) {
    uint at = offset + (block.shift >> 3);
    HalfwordReader reader = HalfwordReader(block.words, (at & 2u) << 3);
    uint i = at >> 2;
    uvec3 words = uvec3(reader.words.at[i], reader.words.at[i + 1u], reader.words.at[i + 2u]);
    return uvec2(join_words(reader, words.x, words.y), join_words(reader, words.y, words.z));
}
