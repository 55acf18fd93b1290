// Signs of the IQ2 and IQ3 types: 32 bits a run, one for each number.

/// The signs that four codes of seven bits stand for, one code a byte: the eighth makes the count of negative numbers
/// even. Parities of all four at once: bits that a shift brings in from the next byte never reach the lowest.
uint even_signs(uint codes) {
    uint parity = codes ^ (codes >> 4);
    parity ^= parity >> 2;
    parity ^= parity >> 1;
    return codes | ((parity & 0x01010101u) << 7);
}

/// Seven bits a byte from 28 in a row.
uint spread_sevens(uint bits) {
    return (bits & 0x7Fu) | ((bits << 1) & 0x7F00u) | ((bits << 2) & 0x7F0000u) | ((bits << 3) & 0x7F000000u);
}

/// Four int8, all above zero, negated where their bit (0 to 3) of signs is set: ~x + 1 carries out of a byte for zero only.
uint apply_signs(uint values, uint signs) {
    uint negative = spread_bits(signs);
    return (values ^ ((negative << 8) - negative)) + negative;
}
