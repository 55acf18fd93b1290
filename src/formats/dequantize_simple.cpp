#include "formats/codebooks.h"
#include "formats/dequantize_block.h"
#include "formats/half.h"

// Types with one scale for every 16 numbers or more and nothing else. Every product is rounded to float
// before the next operation, as in the Python package; the build file forbids the compiler to fuse them.

namespace vkmoe {
namespace {

/// q[i] of 32 numbers of 4 bits: byte j holds q[j] and q[j + 16].
uint32_t nibble(const uint8_t* qs, uint32_t i) {
    return (static_cast<uint32_t>(qs[i % 16]) >> (4 * (i / 16))) & 15;
}

uint32_t bit(const uint8_t* bytes, uint32_t i) {
    return (static_cast<uint32_t>(bytes[i / 8]) >> (i % 8)) & 1;
}

/// Digit n of a byte of base-3 digits, less 1.
float trit(uint8_t byte, uint32_t n) {
    constexpr uint8_t kPowers[] = {1, 3, 9, 27, 81};
    const uint32_t rest = (byte * static_cast<uint32_t>(kPowers[n])) & 255;
    return static_cast<float>(static_cast<int>(rest * 3 >> 8) - 1);
}

}  // namespace

void dequantize_block(const BlockQ4_0& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t i = 0; i < 32; ++i) {
        dst[i] = d * static_cast<float>(static_cast<int>(nibble(block.qs, i)) - 8);
    }
}

void dequantize_block(const BlockQ4_1& block, float* dst) {
    const float d = half_to_float(block.d);
    const float m = half_to_float(block.m);
    for (uint32_t i = 0; i < 32; ++i) dst[i] = d * static_cast<float>(nibble(block.qs, i)) + m;
}

void dequantize_block(const BlockQ5_0& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t i = 0; i < 32; ++i) {
        const uint32_t q = nibble(block.qs, i) | (bit(block.qh, i) << 4);
        dst[i] = d * static_cast<float>(static_cast<int>(q) - 16);
    }
}

void dequantize_block(const BlockQ5_1& block, float* dst) {
    const float d = half_to_float(block.d);
    const float m = half_to_float(block.m);
    for (uint32_t i = 0; i < 32; ++i) {
        const uint32_t q = nibble(block.qs, i) | (bit(block.qh, i) << 4);
        dst[i] = d * static_cast<float>(q) + m;
    }
}

void dequantize_block(const BlockQ8_0& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t i = 0; i < 32; ++i) dst[i] = d * static_cast<float>(block.qs[i]);
}

void dequantize_block(const BlockQ1_0& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t i = 0; i < 128; ++i) dst[i] = bit(block.qs, i) != 0 ? d : -d;
}

void dequantize_block(const BlockQ2_0& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t i = 0; i < 64; ++i) {
        const int q = (block.qs[i / 4] >> (2 * (i % 4))) & 3;
        dst[i] = d * static_cast<float>(q - 1);
    }
}

void dequantize_block(const BlockTQ1_0& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t n = 0; n < 5; ++n) {
        for (uint32_t j = 0; j < 32; ++j) dst[32 * n + j] = d * trit(block.qs[j], n);
        for (uint32_t j = 0; j < 16; ++j) dst[160 + 16 * n + j] = d * trit(block.qs[32 + j], n);
    }
    for (uint32_t n = 0; n < 4; ++n) {
        for (uint32_t j = 0; j < 4; ++j) dst[240 + 4 * n + j] = d * trit(block.qh[j], n);
    }
}

void dequantize_block(const BlockTQ2_0& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t i = 0; i < 256; ++i) {
        const int q = (block.qs[i / 128 * 32 + i % 32] >> (2 * (i / 32 % 4))) & 3;
        dst[i] = d * static_cast<float>(q - 1);
    }
}

void dequantize_block(const BlockMXFP4& block, float* dst) {
    const float d = e8m0_halved(block.e);
    for (uint32_t i = 0; i < 32; ++i) dst[i] = d * static_cast<float>(kFp4Values[nibble(block.qs, i)]);
}

void dequantize_block(const BlockNVFP4& block, float* dst) {
    for (uint32_t g = 0; g < 4; ++g) {
        const float d = ue4m3_halved(block.d[g]);
        for (uint32_t j = 0; j < 8; ++j) {
            const uint8_t byte = block.qs[8 * g + j];
            dst[16 * g + j] = d * static_cast<float>(kFp4Values[byte & 15]);
            dst[16 * g + j + 8] = d * static_cast<float>(kFp4Values[byte >> 4]);
        }
    }
}

}  // namespace vkmoe
