// The 6-bit scales and minimums that Q4_K and Q5_K share: 12 bytes hold eight of each.

/// Of four sub-blocks, 4 * half_index and the next three: their scales (x) and minimums (y), in a byte each.
uvec2 k_scales_minimums(uvec3 packed, uint half_index) {
    // The first word's bytes are scales 0 to 3 and above them the high bits of scales 4 to 7; the second's the same of
    // minimums; the third's the low bits of scales 4 to 7 and above them those of minimums.
    uvec2 first = packed.xy & 0x3F3F3F3Fu;
    uvec2 second = (uvec2(packed.z, packed.z >> 4) & 0x0F0F0F0Fu) | ((packed.xy >> 2) & 0x30303030u);
    return mix(first, second, bvec2(half_index != 0u));
}

/// Scale and minimum of the sub-block at a byte of these.
vec2 k_scale_minimum(uvec2 four, uint i) { return vec2(ivec2((four >> (i * 8u)) & 0xFFu)); }
