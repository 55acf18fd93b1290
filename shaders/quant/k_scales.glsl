// The 6-bit scales and minimums that Q4_K and Q5_K share: 12 bytes hold eight of each.

/// Scale (x) and minimum (y) of sub-block j (0..7); packed: the three words.
uvec2 k_scale_min(uvec3 packed, uint j) {
    uint shift = (j & 3u) * 8u;
    uint a = (packed.x >> shift) & 0xFFu;  // scales 0..3, and the high bits of scales 4..7
    uint b = (packed.y >> shift) & 0xFFu;  // minimums 0..3, and the high bits of minimums 4..7
    uint c = (packed.z >> shift) & 0xFFu;  // low nibbles of scales (low) and minimums (high) 4..7
    return j < 4u ? uvec2(a & 63u, b & 63u) : uvec2((c & 15u) | ((a >> 6) << 4), (c >> 4) | ((b >> 6) << 4));
}
