#include "formats/dequantize_block.h"
#include "formats/half.h"

// Every product is rounded to float before the next operation, as in the Python package; the build file
// forbids the compiler to fuse them.

namespace vkmoe {

void dequantize_block(const BlockQ2_K& block, float* dst) {
    const float d = half_to_float(block.d);
    const float dmin = half_to_float(block.dmin);
    for (uint32_t g = 0; g < 16; ++g) {
        const float scale = d * static_cast<float>(block.scales[g] & 15);
        const float min = dmin * static_cast<float>(block.scales[g] >> 4);
        const uint8_t* qs = block.qs + 32 * (g / 8) + 16 * (g % 2);
        const uint32_t shift = 2 * (g / 2 % 4);
        for (uint32_t l = 0; l < 16; ++l) {
            dst[16 * g + l] = scale * static_cast<float>((qs[l] >> shift) & 3) - min;
        }
    }
}

void dequantize_block(const BlockQ3_K& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t g = 0; g < 16; ++g) {
        const float scale = d * static_cast<float>(unpack_q3_scale(block.scales, g) - 32);
        const uint8_t* qs = block.qs + 32 * (g / 8) + 16 * (g % 2);
        const uint8_t* hmask = block.hmask + 16 * (g % 2);
        const uint32_t shift = 2 * (g / 2 % 4);
        for (uint32_t l = 0; l < 16; ++l) {
            const int q = ((qs[l] >> shift) & 3) | (((hmask[l] >> (g / 2)) & 1) << 2);
            dst[16 * g + l] = scale * static_cast<float>(q - 4);
        }
    }
}

void dequantize_block(const BlockQ4_K& block, float* dst) {
    const float d = half_to_float(block.d);
    const float dmin = half_to_float(block.dmin);
    for (uint32_t g = 0; g < 8; ++g) {
        const ScaleMin group = unpack_scale_min(block.scales, g);
        const float scale = d * static_cast<float>(group.scale);
        const float min = dmin * static_cast<float>(group.min);
        const uint8_t* qs = block.qs + 32 * (g / 2);
        const uint32_t shift = 4 * (g % 2);
        for (uint32_t l = 0; l < 32; ++l) {
            dst[32 * g + l] = scale * static_cast<float>((qs[l] >> shift) & 15) - min;
        }
    }
}

void dequantize_block(const BlockQ5_K& block, float* dst) {
    const float d = half_to_float(block.d);
    const float dmin = half_to_float(block.dmin);
    for (uint32_t g = 0; g < 8; ++g) {
        const ScaleMin group = unpack_scale_min(block.scales, g);
        const float scale = d * static_cast<float>(group.scale);
        const float min = dmin * static_cast<float>(group.min);
        const uint8_t* qs = block.qs + 32 * (g / 2);
        const uint32_t shift = 4 * (g % 2);
        for (uint32_t l = 0; l < 32; ++l) {
            const int q = ((qs[l] >> shift) & 15) | (((block.qh[l] >> g) & 1) << 4);
            dst[32 * g + l] = scale * static_cast<float>(q) - min;
        }
    }
}

void dequantize_block(const BlockQ6_K& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t quarter = 0; quarter < 8; ++quarter) {
        const uint32_t half = quarter / 4;
        const uint32_t k = quarter % 4;
        const uint8_t* ql = block.ql + 64 * half + 32 * (k % 2);
        const uint8_t* qh = block.qh + 32 * half;
        for (uint32_t l = 0; l < 32; ++l) {
            const float scale = d * static_cast<float>(block.scales[2 * quarter + l / 16]);
            const int q = ((ql[l] >> (4 * (k / 2))) & 15) | (((qh[l] >> (2 * k)) & 3) << 4);
            dst[32 * quarter + l] = scale * static_cast<float>(q - 32);
        }
    }
}

}  // namespace vkmoe
