#pragma once

#include <cstdint>

namespace vkmoe {

/// Activations for the dot4 path: each row of n_columns (a multiple of 32) is n_columns int8, then for every
/// 32 of them two floats: the scale d, and d * sum of the 32 int8. Rows start at multiples of 16 bytes.
constexpr uint64_t q8_row_bytes(uint64_t n_columns) {
    return (n_columns + n_columns / 32 * 8 + 15) / 16 * 16;
}

}  // namespace vkmoe
