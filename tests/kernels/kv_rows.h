#pragma once

#include "formats/half.h"
#include "kernels/kv_cache.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

/// Rows of the KV cache on the CPU, for tests.

namespace vkmoe {

/// Packs one row.
inline void encode_kv_row(TensorType type, std::span<const float> values, std::byte* row) {
    const size_t n = values.size();
    if (type == TensorType::kF32) {
        std::memcpy(row, values.data(), n * sizeof(float));
    } else if (type == TensorType::kF16) {
        for (size_t i = 0; i < n; ++i) {
            const uint16_t half = float_to_half(values[i]);
            std::memcpy(row + 2 * i, &half, sizeof half);
        }
    } else {
        for (size_t block = 0; block < n / 32; ++block) {
            float largest = 0;
            for (size_t i = 0; i < 32; ++i) largest = std::max(largest, std::abs(values[block * 32 + i]));
            const float scale = largest / 127;
            for (size_t i = block * 32; i < block * 32 + 32; ++i)
                row[i] = static_cast<std::byte>(largest == 0 ? 0 : std::lround(values[i] / scale));
            std::memcpy(row + n + block * 4, &scale, sizeof scale);
        }
    }
}

/// What a packed row says.
inline std::vector<float> decode_kv_row(TensorType type, const std::byte* row, uint32_t head_dim) {
    std::vector<float> values(head_dim);
    if (type == TensorType::kF32) {
        std::memcpy(values.data(), row, head_dim * sizeof(float));
    } else if (type == TensorType::kF16) {
        for (uint32_t i = 0; i < head_dim; ++i) {
            uint16_t half;
            std::memcpy(&half, row + 2 * i, sizeof half);
            values[i] = half_to_float(half);
        }
    } else {
        for (uint32_t i = 0; i < head_dim; ++i) {
            float scale;
            std::memcpy(&scale, row + head_dim + i / 32 * 4, sizeof scale);
            values[i] = scale * static_cast<float>(static_cast<int8_t>(row[i]));
        }
    }
    return values;
}

}  // namespace vkmoe
