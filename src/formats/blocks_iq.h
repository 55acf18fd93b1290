#pragma once

#include <cstdint>

namespace vkmoe {

// The IQ types: numbers looked up in the tables of codebooks.h. d is binary16 (layouts: ggml's
// ggml-common.h). Signs are a bit a number, set for negative ones, the first number's lowest.

/// 32 numbers, x[i] = d * kIq4Values[q[i]]. Byte j holds q[j] in its low and q[j + 16] in its high half.
struct BlockIQ4_NL {
    static constexpr uint32_t kElements = 32;
    uint16_t d;
    uint8_t qs[16];
};
static_assert(sizeof(BlockIQ4_NL) == 18);

/// Eight groups of 32: x = d * (scale[g] - 32) * kIq4Values[q]. scale[g] has 4 low bits in half g % 2 of
/// scales_l[g / 2] and 2 high bits at bit 2g of scales_h. Bytes 16g ... 16g+15 of qs hold group g as in
/// IQ4_NL.
struct BlockIQ4_XS {
    static constexpr uint32_t kElements = 256;
    uint16_t d;
    uint16_t scales_h;
    uint8_t scales_l[4];
    uint8_t qs[128];
};
static_assert(sizeof(BlockIQ4_XS) == 136);

/// Eight groups of 32: x = d * (s + 1/2) / 4 * iq2_xxs_grid number with its sign. Group g has two words, the
/// four little-endian uint16 from qs[4g]: the first word's bytes are the grid entries of its four eights; the
/// second holds 7 sign bits (even_signs) for each from bits 0, 7, 14 and 21, and s in its top 4 bits.
struct BlockIQ2_XXS {
    static constexpr uint32_t kElements = 256;
    uint16_t d;
    uint16_t qs[32];
};
static_assert(sizeof(BlockIQ2_XXS) == 66);

/// Sixteen groups of 16: x = d * (s[g] + 1/2) / 4 * iq2_xs_grid number with its sign. qs[i] has the grid
/// entry of eight i in its low 9 and sign bits (even_signs) in its high 7 bits. s[g] is half g % 2 of
/// scales[g / 2].
struct BlockIQ2_XS {
    static constexpr uint32_t kElements = 256;
    uint16_t d;
    uint16_t qs[32];
    uint8_t scales[8];
};
static_assert(sizeof(BlockIQ2_XS) == 74);

/// Scales as IQ2_XS. Eight i has the iq2_s_grid entry qs[i] plus 256 times the 2 bits at 2 * (i % 4) of
/// qh[i / 4], and the signs signs[i].
struct BlockIQ2_S {
    static constexpr uint32_t kElements = 256;
    uint16_t d;
    uint8_t qs[32];
    uint8_t signs[32];
    uint8_t qh[8];
    uint8_t scales[8];
};
static_assert(sizeof(BlockIQ2_S) == 82);

/// Eight groups of 32: x = d * (s + 1/2) / 2 * iq3_xxs_grid number with its sign. qs[i] is the grid entry of
/// four i. Group g's word, little-endian from scales[4g], has signs and s as the second word of IQ2_XXS.
struct BlockIQ3_XXS {
    static constexpr uint32_t kElements = 256;
    uint16_t d;
    uint8_t qs[64];
    uint8_t scales[32];
};
static_assert(sizeof(BlockIQ3_XXS) == 98);

/// Eight groups of 32: x = d * (2 s[g] + 1) * iq3_s_grid number with its sign. Four i has the grid entry
/// qs[i] plus 256 times bit i % 8 of qh[i / 8]; eight i has the signs signs[i]; s[g] is half g % 2 of
/// scales[g / 2].
struct BlockIQ3_S {
    static constexpr uint32_t kElements = 256;
    uint16_t d;
    uint8_t qs[64];
    uint8_t qh[8];
    uint8_t signs[32];
    uint8_t scales[4];
};
static_assert(sizeof(BlockIQ3_S) == 110);

/// Eight groups of 32: x = d * (2 s + 1) * (iq1_grid number + delta). Eight i of group g = i / 4 has the grid
/// entry qs[i] plus 256 times the 3 bits at 3 * (i % 4) of qh[g]; s is bits 12 ... 14 of qh[g], and delta is
/// -1/8 where bit 15 is set, else 1/8.
struct BlockIQ1_S {
    static constexpr uint32_t kElements = 256;
    uint16_t d;
    uint8_t qs[32];
    uint16_t qh[8];
};
static_assert(sizeof(BlockIQ1_S) == 50);

/// Sixteen groups of 16: x = d * (2 s[g] + 1) * (iq1_grid number + delta). Eight i has the grid entry qs[i]
/// plus 256 times the low 3 of the 4 bits in half i % 2 of qh[i / 2], and delta -1/8 where the fourth is set,
/// else 1/8. s[g] is the 3 bits at 3 * (g % 4) of scales[g / 4]; d is spread over the top 4 bits of the four
/// scales (unpack_iq1_m_d).
struct BlockIQ1_M {
    static constexpr uint32_t kElements = 256;
    uint8_t qs[32];
    uint8_t qh[16];
    uint16_t scales[4];
};
static_assert(sizeof(BlockIQ1_M) == 56);

/// The binary16 scale of an IQ1_M block, lowest 4 bits in the first word.
inline uint16_t unpack_iq1_m_d(const uint16_t* scales) {
    uint32_t d = 0;
    for (uint32_t w = 0; w < 4; ++w) d |= static_cast<uint32_t>(scales[w] >> 12) << (4 * w);
    return static_cast<uint16_t>(d);
}

/// The inverse of unpack_iq1_m_d; leaves the lower 12 bits of each word as they are.
inline void pack_iq1_m_d(uint16_t d, uint16_t* scales) {
    for (uint32_t w = 0; w < 4; ++w) {
        scales[w] = static_cast<uint16_t>((scales[w] & 0x0FFF) | (((d >> (4 * w)) & 15) << 12));
    }
}

}  // namespace vkmoe
