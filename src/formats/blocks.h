#pragma once

#include <cstdint>

namespace vkmoe {

// Blocks of quantized numbers as GGUF files hold them (layouts: ggml's ggml-common.h). d, m and dmin are
// binary16. Blocks start at any even address of a file, MXFP4 at any, so copy one out before looking at its
// fields. Types with a K: blocks_k.h; types with IQ: blocks_iq.h.

// --- 32 numbers

/// x[i] = d * (q[i] - 8). Byte j holds q[j] in its low and q[j + 16] in its high half.
struct BlockQ4_0 {
    static constexpr uint32_t kElements = 32;
    uint16_t d;
    uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_0) == 18);

/// x[i] = d * q[i] + m; q as in Q4_0.
struct BlockQ4_1 {
    static constexpr uint32_t kElements = 32;
    uint16_t d;
    uint16_t m;
    uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_1) == 20);

/// x[i] = d * (q[i] - 16). The low 4 bits as in Q4_0; the highest is bit i % 8 of qh[i / 8].
struct BlockQ5_0 {
    static constexpr uint32_t kElements = 32;
    uint16_t d;
    uint8_t qh[4];
    uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_0) == 22);

/// x[i] = d * q[i] + m; q as in Q5_0.
struct BlockQ5_1 {
    static constexpr uint32_t kElements = 32;
    uint16_t d;
    uint16_t m;
    uint8_t qh[4];
    uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

/// x[i] = d * qs[i].
struct BlockQ8_0 {
    static constexpr uint32_t kElements = 32;
    uint16_t d;
    int8_t qs[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

// --- one and two bits, in order

/// x[i] = d where bit i % 8 of qs[i / 8] is set, else -d.
struct BlockQ1_0 {
    static constexpr uint32_t kElements = 128;
    uint16_t d;
    uint8_t qs[16];
};
static_assert(sizeof(BlockQ1_0) == 18);

/// x[i] = d * (q[i] - 1), q[i] the two bits from 2 * (i % 4) of qs[i / 4].
struct BlockQ2_0 {
    static constexpr uint32_t kElements = 64;
    uint16_t d;
    uint8_t qs[16];
};
static_assert(sizeof(BlockQ2_0) == 18);

// --- ternary

/// x[i] = d * (t[i] - 1), t of 0, 1, 2. A byte holds five base-3 digits as the fraction byte / 256, the first
/// number's digit highest: digit n is (byte * 3^n mod 256) * 3 / 256, rounded down. Digit n of qs[j] is
/// number 32n + j for j < 32 and 160 + 16n + j - 32 from there; digit n (0 ... 3) of qh[j] is number 240 + 4n
/// + j.
struct BlockTQ1_0 {
    static constexpr uint32_t kElements = 256;
    uint8_t qs[48];
    uint8_t qh[4];
    uint16_t d;
};
static_assert(sizeof(BlockTQ1_0) == 54);

/// x[i] = d * (q[i] - 1). In each half of 128 numbers, bits 2k and 2k + 1 of byte l (0 ... 31) are number
/// 32k + l.
struct BlockTQ2_0 {
    static constexpr uint32_t kElements = 256;
    uint8_t qs[64];
    uint16_t d;
};
static_assert(sizeof(BlockTQ2_0) == 66);

// --- 4-bit floats

/// x[i] = half_e8m0(e) * kFp4Values[q[i]]; q as in Q4_0.
struct BlockMXFP4 {
    static constexpr uint32_t kElements = 32;
    uint8_t e;
    uint8_t qs[16];
};
static_assert(sizeof(BlockMXFP4) == 17);

/// Four groups of 16: x = half_ue4m3(d[g]) * kFp4Values[q]. Byte 8g + j of qs holds number j of group g in
/// its low and number j + 8 in its high half.
struct BlockNVFP4 {
    static constexpr uint32_t kElements = 64;
    uint8_t d[4];
    uint8_t qs[32];
};
static_assert(sizeof(BlockNVFP4) == 36);

}  // namespace vkmoe
