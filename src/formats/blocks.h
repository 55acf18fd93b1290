#pragma once

#include <cstdint>

namespace vkmoe {

// Blocks of quantized numbers as GGUF files hold them (layouts: ggml's ggml-common.h). d and dmin are
// binary16. Blocks start at any even address of a file, so copy one out before looking at its fields.

inline constexpr uint32_t kSmallBlock = 32;   ///< numbers in a Q4_0 or Q8_0 block
inline constexpr uint32_t kSuperBlock = 256;  ///< numbers in a K block

/// x[i] = d * (q[i] - 8). Byte j holds q[j] in its low and q[j + 16] in its high half.
struct BlockQ4_0 {
    uint16_t d;
    uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_0) == 18);

/// x[i] = d * qs[i].
struct BlockQ8_0 {
    uint16_t d;
    int8_t qs[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

/// Eight groups of 32: x = d * scale[g] * q - dmin * min[g], q of 4 bits. scales packs eight 6-bit scales and
/// eight 6-bit mins (unpack_scale_min). Bytes 32c ... 32c+31 of qs hold group 2c in their low and group 2c+1
/// in their high halves.
struct BlockQ4_K {
    uint16_t d;
    uint16_t dmin;
    uint8_t scales[12];
    uint8_t qs[128];
};
static_assert(sizeof(BlockQ4_K) == 144);

/// As Q4_K with a fifth, highest bit: bit g of qh[l] belongs to number l of group g.
struct BlockQ5_K {
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

}  // namespace vkmoe
