// The 4-bit floats (E2M1) of MXFP4 and NVFP4: a sign, two bits of exponent (bias 1), one of mantissa.

/// Twice the numbers that the nibbles of a word stand for, as int8: x of the low nibbles, y of the high ones. Codes 0..7
/// are 0 1 2 3 4 6 8 12, and bit 3 is the sign. Computed without a table, eight at once, for no step leaves its nibble.
uvec2 fp4_doubled(uint codes) {
    const uint kOnes = 0x11111111u;
    uint code = codes & (7u * kOnes);
    // From 4 on, the number is the code and its low two bits more, and another 2 where both are set.
    uint more = codes & (((codes >> 2) & kOnes) * 3u);
    uint magnitude = code + more + ((more & (more >> 1)) << 1);
    // The sign, but of zero, whose complement is no nibble.
    uint signs = codes & (code + 7u * kOnes) & (8u * kOnes);
    uint negative = (signs >> 3) & kOnes;
    uint high = (signs << 1) - negative;  // 15 where negative
    uint low = (magnitude ^ high) + negative;
    return uvec2((low & 0x0F0F0F0Fu) | ((high << 4) & 0xF0F0F0F0u), ((low >> 4) & 0x0F0F0F0Fu) | (high & 0xF0F0F0F0u));
}

/// Two codes, at bit `at` of each half of the word, as float16 of 2^-14 times their numbers: the same bits in the places of
/// a float16, also where they are denormal.
vec2 fp4_halves(uint codes, uint at) {
    uint magnitudes = (at < 9u ? codes << (9u - at) : codes >> (at - 9u)) & 0x0E000E00u;
    uint signs = (codes << (12u - at)) & 0x80008000u;
    return unpackHalf2x16(magnitudes | signs);
}
