#pragma once

#include <cstdint>

namespace vkmoe {

// The K types: blocks of 256 numbers in groups, with scales that are themselves quantized. d and dmin are
// binary16 (layouts: ggml's ggml-common.h).

/// Sixteen groups of 16: x = d * (scales[g] & 15) * q - dmin * (scales[g] >> 4), q of 2 bits. In each half of
/// 128 numbers, bits 2k and 2k + 1 of byte l (0 ... 31) of the half's qs are number 32k + l.
struct BlockQ2_K {
    static constexpr uint32_t kElements = 256;
    uint8_t scales[16];
    uint8_t qs[64];
    uint16_t d;
    uint16_t dmin;
};
static_assert(sizeof(BlockQ2_K) == 84);

/// Sixteen groups of 16: x = d * (scale[g] - 32) * (q - 4), q of 3 bits. scales packs sixteen 6-bit scales
/// (unpack_q3_scale). The low 2 bits of q as in Q2_K; the highest of number 32k + l is bit k of hmask[l].
struct BlockQ3_K {
    static constexpr uint32_t kElements = 256;
    uint8_t hmask[32];
    uint8_t qs[64];
    uint8_t scales[12];
    uint16_t d;
};
static_assert(sizeof(BlockQ3_K) == 110);

/// Eight groups of 32: x = d * scale[g] * q - dmin * min[g], q of 4 bits. scales packs eight 6-bit scales and
/// eight 6-bit mins (unpack_scale_min). Bytes 32c ... 32c+31 of qs hold group 2c in their low and group 2c+1
/// in their high halves.
struct BlockQ4_K {
    static constexpr uint32_t kElements = 256;
    uint16_t d;
    uint16_t dmin;
    uint8_t scales[12];
    uint8_t qs[128];
};
static_assert(sizeof(BlockQ4_K) == 144);

/// As Q4_K with a fifth, highest bit: bit g of qh[l] belongs to number l of group g.
struct BlockQ5_K {
    static constexpr uint32_t kElements = 256;
    uint16_t d;
    uint16_t dmin;
    uint8_t scales[12];
    uint8_t qh[32];
    uint8_t qs[128];
};
static_assert(sizeof(BlockQ5_K) == 176);

/// Sixteen groups of 16: x = d * scales[g] * (q - 32), q of 6 bits. In each half h of 128 numbers, quarter k
/// (0 ... 3) of 32: number l has its low 4 bits in ql[64h + 32(k % 2) + l], low half for k < 2 and high half
/// else, and its high 2 bits at bit 2k of qh[32h + l].
struct BlockQ6_K {
    static constexpr uint32_t kElements = 256;
    uint8_t ql[128];
    uint8_t qh[64];
    int8_t scales[16];
    uint16_t d;
};
static_assert(sizeof(BlockQ6_K) == 210);

struct ScaleMin {
    uint8_t scale;
    uint8_t min;
};

/// Group g's (0 ... 7) scale and min from the 12 packed bytes of Q4_K and Q5_K: groups 0-3 have their low 6
/// bits in bytes g and g + 4; groups 4-7 have 4 low bits in byte g + 4 (scale low half, min high half), 2
/// high bits atop bytes g - 4 and g.
inline ScaleMin unpack_scale_min(const uint8_t* scales, uint32_t g) {
    if (g < 4) return {static_cast<uint8_t>(scales[g] & 63), static_cast<uint8_t>(scales[g + 4] & 63)};
    return {static_cast<uint8_t>((scales[g + 4] & 15) | ((scales[g - 4] >> 6) << 4)),
            static_cast<uint8_t>((scales[g + 4] >> 4) | ((scales[g] >> 6) << 4))};
}

/// The inverse of unpack_scale_min for all eight groups; values below 64.
inline void pack_scale_mins(const ScaleMin* groups, uint8_t* scales) {
    for (uint32_t g = 0; g < 4; ++g) {
        const ScaleMin low = groups[g];
        const ScaleMin high = groups[g + 4];
        scales[g] = static_cast<uint8_t>(low.scale | ((high.scale >> 4) << 6));
        scales[g + 4] = static_cast<uint8_t>(low.min | ((high.min >> 4) << 6));
        scales[g + 8] = static_cast<uint8_t>((high.scale & 15) | ((high.min & 15) << 4));
    }
}

/// Group g's (0 ... 15) scale, 0 ... 63, from the 12 packed bytes of Q3_K: 4 low bits in byte g % 8, in the
/// low half for g < 8; 2 high bits at bit 2 * (g / 4) of byte 8 + g % 4.
inline uint8_t unpack_q3_scale(const uint8_t* scales, uint32_t g) {
    const int low = (scales[g % 8] >> (4 * (g / 8))) & 15;
    const int high = (scales[8 + g % 4] >> (2 * (g / 4))) & 3;
    return static_cast<uint8_t>(low | (high << 4));
}

/// The inverse of unpack_q3_scale for all sixteen groups; values below 64.
inline void pack_q3_scales(const uint8_t* groups, uint8_t* scales) {
    for (uint32_t j = 0; j < 8; ++j)
        scales[j] = static_cast<uint8_t>((groups[j] & 15) | ((groups[j + 8] & 15) << 4));
    for (uint32_t j = 0; j < 4; ++j) {
        scales[8 + j] = static_cast<uint8_t>((groups[j] >> 4) | ((groups[j + 4] >> 4) << 2) |
                                             ((groups[j + 8] >> 4) << 4) | ((groups[j + 12] >> 4) << 6));
    }
}

}  // namespace vkmoe
