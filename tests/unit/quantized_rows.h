#pragma once

#include <cmath>
#include <random>
#include <span>
#include <vector>

#include "formats/dequantize.h"
#include "formats/quantize.h"

namespace vkmoe {

inline std::vector<float> dequantized(TensorType type, std::span<const uint8_t> bytes) {
    const TensorTypeInfo& info = tensor_type_info(type);
    std::vector<float> result(bytes.size() / info.block_bytes * info.block_elements);
    dequantize_row(type, std::as_bytes(bytes).data(), result.data(), result.size());
    return result;
}

inline std::vector<uint8_t> quantized(TensorType type, const std::vector<float>& numbers) {
    std::vector<uint8_t> bytes(row_bytes(type, numbers.size()));
    quantize_row(type, numbers.data(), std::as_writable_bytes(std::span(bytes)).data(), numbers.size());
    return bytes;
}

inline std::vector<float> round_trip(TensorType type, const std::vector<float>& numbers) {
    return dequantized(type, quantized(type, numbers));
}

inline std::vector<uint8_t> random_bytes(size_t n, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<uint8_t> bytes(n);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() >> 56);
    return bytes;
}

/// Numbers with a bell-shaped distribution, the same on every machine.
inline std::vector<float> weights(size_t n, double deviation) {
    std::mt19937_64 random(7);
    std::vector<float> result(n);
    for (float& number : result) {
        double sum = 0;
        for (int i = 0; i < 12; ++i) sum += static_cast<double>(random() >> 11) * 0x1p-53;
        number = static_cast<float>((sum - 6) * deviation);
    }
    return result;
}

inline double nmse(const std::vector<float>& value, const std::vector<float>& reference) {
    double error = 0;
    double power = 0;
    for (size_t i = 0; i < reference.size(); ++i) {
        error += std::pow(double{value[i]} - reference[i], 2);
        power += std::pow(double{reference[i]}, 2);
    }
    return error / power;
}

}  // namespace vkmoe
