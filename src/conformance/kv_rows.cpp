#include "conformance/kv_rows.h"

#include "formats/dequantize.h"
#include "formats/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace vkmoe::conformance {
namespace {

void encode_q8_block(std::span<const float> values, std::byte* quants, std::byte* scale_at) {
    float largest = 0;
    for (float value : values)
        largest = std::isfinite(value) ? std::max(largest, std::abs(value))
                                       : std::numeric_limits<float>::quiet_NaN();
    const float scale = largest / 127;
    for (size_t i = 0; i < values.size(); ++i)
        quants[i] = static_cast<std::byte>(largest > 0 ? std::lround(values[i] / scale) : 0);
    std::memcpy(scale_at, &scale, sizeof scale);
}

}  // namespace

void encode_kv_row(TensorType type, std::span<const float> values, std::byte* row) {
    const size_t n = values.size();
    if (type != TensorType::kQ8_0) return quantize_row(type, values.data(), row, n);
    for (size_t block = 0; block < n / 32; ++block)
        encode_q8_block(values.subspan(block * 32, 32), row + block * 32, row + n + block * 4);
}

std::vector<float> decode_kv_row(TensorType type, const std::byte* row, uint32_t head_dim) {
    std::vector<float> values(head_dim);
    if (type != TensorType::kQ8_0) {
        dequantize_row(type, row, values.data(), head_dim);
        return values;
    }
    for (uint32_t i = 0; i < head_dim; ++i) {
        float scale;
        std::memcpy(&scale, row + head_dim + i / 32 * 4, sizeof scale);
        values[i] = scale * static_cast<float>(static_cast<int8_t>(row[i]));
    }
    return values;
}

double kv_least_normal(TensorType type) {
    if (type == TensorType::kF16) return 0x1p-14;
    // Scales of int8 are subnormal below 127 times that of float32.
    return type == TensorType::kQ8_0 ? 0x1p-119 : 0x1p-126;
}

}  // namespace vkmoe::conformance
