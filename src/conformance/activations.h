#pragma once

#include "conformance/check.h"
#include "conformance/generators.h"
#include "conformance/stored_matrix.h"
#include "gpu/path.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vkmoe::conformance {

// What differs between the paths of matrix kernels: how activations come, and how exact results are.

/// Rows of activations as a path reads them, and the numbers that they stand for.
struct StoredActivations {
    uint32_t n_columns = 0;
    std::vector<std::byte> bytes;
    std::vector<double> values;  // [n_rows, n_columns]
    double weight_grain = 0;     // by which part of its row's largest the path may round a weight
};
StoredActivations store_activations(Path path, const std::vector<float>& rows, uint32_t n_columns);

/// The exponent of a float16 row (src/kernels/pack_float16.h).
int32_t float16_row_exponent(std::span<const float> row);

/// How near a product of such activations must come to the reference, which knows their rounded values.
Tolerance product_tolerance(Path path);

/// Rows of activations whose products with sane weights are about 1 for any length, where plain.
std::vector<float> random_activations(std::mt19937& random, uint32_t n_rows, uint32_t n_columns,
                                      Numbers kind = Numbers::kPlain);
StoredActivations random_stored_activations(std::mt19937& random, Path path, uint32_t n_rows,
                                            uint32_t n_columns, Numbers kind = Numbers::kPlain);

/// Row `row` of a matrix by row x_row of activations, in double.
Expected dot(const StoredMatrix& matrix, uint32_t row, const StoredActivations& x, uint32_t x_row);

/// silu(gate) * up; its magnitude covers the errors of both products and of an exponential.
Expected gated(const Expected& gate, const Expected& up);

}  // namespace vkmoe::conformance
