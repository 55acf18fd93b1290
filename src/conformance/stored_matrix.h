#pragma once

#include "formats/tensor_type.h"

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace vkmoe::conformance {

/// Weights as a file holds them, and the numbers that they stand for.
struct StoredMatrix {
    uint32_t n_rows = 0;
    uint32_t n_columns = 0;
    std::vector<std::byte> bytes;
    std::vector<float> values;  // [n_rows, n_columns]
};

/// Random bits in blocks of any type: every pattern of quants and scales occurs.
enum class Weights {
    kSane,  ///< the largest number of each block is of magnitude 1/4 to 4, so that it is seen beside others
    kAnyBits,  ///< whatever the bits say: scales that are subnormal, huge, infinite or NaN
    kGrowing,  ///< the first columns of each row are thousands of times smaller than the others
};
StoredMatrix random_matrix(std::mt19937& random, TensorType type, uint32_t n_rows, uint32_t n_columns,
                           Weights kind = Weights::kSane);

/// Columns come in multiples of this, for kernels.
uint32_t column_unit(TensorType type);

/// Numbers of columns that kernels of this type must take, in random order: from the least to 2048, and 2880
/// where the type allows it.
std::vector<uint32_t> test_columns(std::mt19937& random, TensorType type);

}  // namespace vkmoe::conformance
