// The 4-bit floats (E2M1) of MXFP4 and NVFP4.

/// Twice the numbers that the low nibbles of four bytes stand for, as int8: codes 0..7 are 0 1 2 3 4 6 8 12, and bit 3 is
/// the sign. Computed without a table, four at once: with the bits c b a of a code, the number is the code itself for
/// c = 0, and a + b * (2 + 2a) more for c = 1.
uint fp4_doubled(uint nibbles) {
    const uint kOnes = 0x01010101u;
    uint a = nibbles & kOnes;
    uint b = (nibbles >> 1) & kOnes;
    uint c = (nibbles >> 2) & kOnes;
    uint cb = c & b;
    uint magnitude = (nibbles & 0x07070707u) + (c & a) + ((cb + (cb & a)) << 1);
    uint negative = magnitude & (((nibbles >> 3) & kOnes) * 0xFFu);
    return subtract_bytes(magnitude - negative, negative);
}
