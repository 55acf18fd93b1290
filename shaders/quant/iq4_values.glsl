// The numbers of IQ4_NL and IQ4_XS: codes 0 to 15 stand for -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53,
// 69, 89 and 113. Eight codes of a word are turned into their numbers at once, in the 32-bit registers that every device
// has; or where the plan wants it (RegisterPlan::shared_tables) two at a time by a table in shared memory.

/// b where mask is set, else a
uint choose(uint mask, uint a, uint b) { return a ^ (mask & (a ^ b)); }

/// Eight copies of two nibbles, chosen by mask.
uint choose_nibble(uint mask, uint a, uint b) { return choose(mask, a * 0x11111111u, b * 0x11111111u); }

/// int8 of the low nibbles of a word (x) and of its high nibbles (y).
uvec2 compute_iq4_values(uint codes) {
    uint bit0 = (codes & 0x11111111u) * 15u;
    uint bit1 = ((codes >> 1) & 0x11111111u) * 15u;
    uint bit2 = ((codes >> 2) & 0x11111111u) * 15u;
    uint bit3 = ((codes >> 3) & 0x11111111u) * 15u;
    // The low nibbles of the numbers: a tree over the bits of the code.
    uint negative = choose(bit2, choose(bit1, choose_nibble(bit0, 0x1, 0x8), choose_nibble(bit0, 0xD, 0xF)),
                           choose(bit1, choose_nibble(bit0, 0xF, 0xD), choose_nibble(bit0, 0xA, 0x6)));
    uint positive = choose(bit2, choose(bit1, choose_nibble(bit0, 0x1, 0xD), choose_nibble(bit0, 0x9, 0x6)),
                           choose(bit1, choose_nibble(bit0, 0x5, 0x5), choose_nibble(bit0, 0x9, 0x1)));
    uint low = choose(bit3, negative, positive);
    // The high ones: code + 8 (modulo 16), less one for the codes 9 to 14.
    uint less = bit3 & ((bit0 ^ bit1) | (bit1 ^ bit2)) & 0x11111111u;
    uint high = (codes ^ 0x88888888u) - less;
    return uvec2((low & 0x0F0F0F0Fu) | ((high & 0x0F0F0F0Fu) << 4), ((low >> 4) & 0x0F0F0F0Fu) | (high & 0xF0F0F0F0u));
}

#if defined(VKMOE_TABLE_CONSTANT)

layout(constant_id = VKMOE_TABLE_CONSTANT) const uint SHARED_TABLES = 0;

shared uint iq4_pairs[256];  // by the codes of a byte: the low nibble's number, and 16 bits above it the high one's

void load_tables() {
    if (SHARED_TABLES == 0u) return;
    for (uint byte = gl_LocalInvocationID.x * 2u; byte < 256u; byte += gl_WorkGroupSize.x * 2u) {
        uvec2 values = compute_iq4_values(byte | ((byte + 1u) << 8));
        iq4_pairs[byte] = (values.x & 0xFFu) | ((values.y & 0xFFu) << 16);
        iq4_pairs[byte + 1u] = ((values.x >> 8) & 0xFFu) | ((values.y & 0xFF00u) << 8);
    }
    barrier();
}

uvec2 iq4_values(uint codes) {
    if (SHARED_TABLES == 0u) return compute_iq4_values(codes);
    uint first = iq4_pairs[codes & 0xFFu] | (iq4_pairs[(codes >> 8) & 0xFFu] << 8);
    uint second = iq4_pairs[(codes >> 16) & 0xFFu] | (iq4_pairs[codes >> 24] << 8);
    return uvec2((first & 0xFFFFu) | (second << 16), (first >> 16) | (second & 0xFFFF0000u));
}

#else

uvec2 iq4_values(uint codes) { return compute_iq4_values(codes); }

#endif
