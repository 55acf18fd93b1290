#pragma once

#include "kernels/activation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

/// What the tests of the kernels over rows share: inputs and the judgement of outputs.

namespace vkmoe {

/// n numbers, normally distributed, rows of every size: each block of 32 is scaled by its own power of two.
inline std::vector<float> random_row_values(std::mt19937& random, size_t n) {
    std::normal_distribution<float> normal;
    std::uniform_int_distribution<int> exponent(-6, 3);
    std::vector<float> values(n);
    float scale = 1;
    for (size_t i = 0; i < n; ++i) {
        if (i % 32 == 0) scale = std::ldexp(1.0f, exponent(random));
        values[i] = scale * normal(random);
    }
    return values;
}

/// Rows of packed int8 against the numbers that they stand for. tolerance: relative error of the numbers that
/// were packed; a quant may differ from the expected one only where that moves it over a rounding boundary.
inline void expect_packed_rows(std::span<const std::byte> packed, std::span<const double> expected,
                               uint32_t n_rows, uint32_t n_columns, double tolerance) {
    for (uint32_t row = 0; row < n_rows; ++row) {
        const std::byte* bytes = packed.data() + row * q8_row_bytes(n_columns);
        for (uint32_t block = 0; block < n_columns / 32; ++block) {
            const double* x = expected.data() + uint64_t{row} * n_columns + block * 32;
            double largest = 0;
            for (int i = 0; i < 32; ++i) largest = std::max(largest, std::abs(x[i]));
            float pair[2];
            std::memcpy(pair, bytes + n_columns + block * 8, sizeof pair);
            ASSERT_NEAR(pair[0], largest / 127, tolerance * largest / 127)
                << "row " << row << " block " << block;
            int sum = 0;
            for (int i = 0; i < 32; ++i) {
                const int q = static_cast<int8_t>(bytes[block * 32 + i]);
                sum += q;
                const double exact = largest == 0 ? 0 : x[i] * 127 / largest;
                ASSERT_LE(std::abs(q - exact), largest == 0 ? 0 : 0.5 + 2 * 127 * tolerance)
                    << "row " << row << " block " << block << " element " << i;
            }
            const double product = double{pair[0]} * sum;
            ASSERT_NEAR(pair[1], product, 1e-6 * std::abs(product)) << "row " << row << " block " << block;
        }
    }
}

}  // namespace vkmoe
