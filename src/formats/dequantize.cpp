#include "formats/dequantize.h"

#include <cassert>
#include <cstring>

#include "base/error.h"
#include "formats/blocks.h"
#include "formats/half.h"

// Every product is rounded to float before the next operation, as in the Python package; the build file
// forbids the compiler to fuse them.

namespace vkmoe {
namespace {

void dequantize_block(const BlockQ4_0& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t j = 0; j < 16; ++j) {
        dst[j] = d * static_cast<float>((block.qs[j] & 15) - 8);
        dst[j + 16] = d * static_cast<float>((block.qs[j] >> 4) - 8);
    }
}

void dequantize_block(const BlockQ8_0& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t j = 0; j < kSmallBlock; ++j) dst[j] = d * static_cast<float>(block.qs[j]);
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

template <typename Block>
void dequantize_blocks(const std::byte* src, float* dst, uint64_t n, uint32_t block_elements) {
    for (uint64_t i = 0; i < n; i += block_elements) {
        Block block;
        std::memcpy(&block, src, sizeof block);
        dequantize_block(block, dst + i);
        src += sizeof block;
    }
}

template <typename Convert>
void convert_16_bit(const std::byte* src, float* dst, uint64_t n, Convert convert) {
    for (uint64_t i = 0; i < n; ++i) {
        uint16_t value = 0;
        std::memcpy(&value, src + 2 * i, sizeof value);
        dst[i] = convert(value);
    }
}

}  // namespace

void dequantize_row(TensorType type, const std::byte* src, float* dst, uint64_t n) {
    assert(n % tensor_type_info(type).block_elements == 0);
    if (n == 0) return;
    switch (type) {
        case TensorType::kF32:
            std::memcpy(dst, src, n * sizeof(float));
            break;
        case TensorType::kF16:
            convert_16_bit(src, dst, n, half_to_float);
            break;
        case TensorType::kBF16:
            convert_16_bit(src, dst, n, bf16_to_float);
            break;
        case TensorType::kQ4_0:
            dequantize_blocks<BlockQ4_0>(src, dst, n, kSmallBlock);
            break;
        case TensorType::kQ8_0:
            dequantize_blocks<BlockQ8_0>(src, dst, n, kSmallBlock);
            break;
        case TensorType::kQ4_K:
            dequantize_blocks<BlockQ4_K>(src, dst, n, kSuperBlock);
            break;
        case TensorType::kQ5_K:
            dequantize_blocks<BlockQ5_K>(src, dst, n, kSuperBlock);
            break;
        case TensorType::kQ6_K:
            dequantize_blocks<BlockQ6_K>(src, dst, n, kSuperBlock);
            break;
        default:
            fail(ErrorCode::kUnsupported, "{} cannot be decoded: use another type",
                 tensor_type_info(type).name);
    }
}

}  // namespace vkmoe
