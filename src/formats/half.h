#pragma once

#include <bit>
#include <cstdint>

namespace vkmoe {

/// IEEE binary16 to float, exact. A signalling NaN becomes quiet.
inline float half_to_float(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 0x1Fu;
    const uint32_t fraction = half & 0x3FFu;
    if (exponent == 0x1F) {
        const uint32_t quiet = fraction != 0 ? 0x400000u : 0u;
        return std::bit_cast<float>(sign | 0x7F800000u | quiet | (fraction << 13));
    }
    if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
    // Zero or a denormal, fraction * 2^-24; both factors and the product are exact.
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

/// Float to IEEE binary16, to nearest, ties to even. What is too large becomes infinity; NaN stays a quiet
/// NaN.
inline uint16_t float_to_half(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) {
        return static_cast<uint16_t>(sign | 0x7E00u | ((magnitude >> 13) & 0x3FFu));
    }
    if (magnitude >= 0x477FF000u)
        return static_cast<uint16_t>(sign | 0x7C00u);  // 65520 and up round to infinity
    uint32_t kept = 0;                                 // result without rounding
    uint32_t dropped = 0;                              // what was cut off, against `half_way`
    uint32_t half_way = 0;
    if (magnitude >= 0x38800000u) {  // 2^-14, the smallest normal half
        kept = (magnitude - 0x38000000u) >> 13;
        dropped = magnitude & 0x1FFFu;
        half_way = 0x1000u;
    } else {
        if (magnitude < 0x33000000u) return static_cast<uint16_t>(sign);  // below 2^-25
        const uint32_t fraction = (magnitude & 0x7FFFFFu) | 0x800000u;
        const uint32_t shift = 126 - (magnitude >> 23);  // 14 ... 24
        kept = fraction >> shift;
        dropped = fraction & ((1u << shift) - 1);
        half_way = 1u << (shift - 1);
    }
    // A carry out of the fraction runs into the exponent, which is just the next value.
    if (dropped > half_way || (dropped == half_way && (kept & 1u) != 0)) ++kept;
    return static_cast<uint16_t>(sign | kept);
}

/// bfloat16 to float, exact.
inline float bf16_to_float(uint16_t value) {
    return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

/// Float to bfloat16, to nearest, ties to even. NaN stays a quiet NaN.
inline uint16_t float_to_bf16(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
    return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

/// Half of the MXFP4 scale 2^(code - 127); E8M0 has no zero, and its NaN (255) reads as 2^128.
inline float e8m0_halved(uint8_t code) {
    // 2^-128 and 2^-127 are denormal.
    return std::bit_cast<float>(code < 2 ? 0x00200000u << code : static_cast<uint32_t>(code - 1) << 23);
}

/// Half of an NVFP4 scale: unsigned E4M3 with bias 7. The top bit is ignored; 0x7F, its NaN, reads as 0.
inline float ue4m3_halved(uint8_t code) {
    if (code == 0x7F) return 0;
    const uint32_t exponent = (code >> 3) & 15;
    const uint32_t fraction = code & 7;
    if (exponent == 0) return static_cast<float>(fraction) * 0x1p-10f;
    return std::bit_cast<float>(((exponent + 127 - 7 - 1) << 23) | (fraction << 20));
}

}  // namespace vkmoe
