#pragma once

#include "gpu/path.h"

#include <cstdint>

namespace vkmoe {

/// How rows of activations lie in memory, all of them starting at multiples of 16 bytes.
enum class ActivationLayout : uint8_t {
    kFloat32,
    kQ8,       ///< n_columns int8, then for every 32 of them two floats: the scale d, and d * sum of the 32
    kFloat16,  ///< n_columns float16, then an int32 e and 12 unused bytes: the numbers are float16 * 2^e
};

/// The layout that matrix kernels on a path read.
constexpr ActivationLayout activation_layout(Path path) {
    switch (path) {
        case Path::kScalar:
        case Path::kSubgroup:
            return ActivationLayout::kFloat32;
        case Path::kDot4:
        case Path::kCoopmatInt8:
            return ActivationLayout::kQ8;
        case Path::kCoopmat:
        case Path::kCoopmat2:
            return ActivationLayout::kFloat16;
    }
    return ActivationLayout::kFloat32;
}

/// n_columns: a multiple of 32.
constexpr uint64_t q8_row_bytes(uint64_t n_columns) {
    return (n_columns + n_columns / 32 * 8 + 15) / 16 * 16;
}
constexpr uint64_t float16_row_bytes(uint64_t n_columns) {
    return n_columns * 2 + 16;
}

constexpr uint64_t activation_row_bytes(ActivationLayout layout, uint64_t n_columns) {
    switch (layout) {
        case ActivationLayout::kFloat32:
            return n_columns * sizeof(float);
        case ActivationLayout::kQ8:
            return q8_row_bytes(n_columns);
        case ActivationLayout::kFloat16:
            return float16_row_bytes(n_columns);
    }
    return 0;
}

}  // namespace vkmoe
