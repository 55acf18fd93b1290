#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/tensor_type.h"

namespace vkmoe {

/// Blocks of random bits whose n numbers, a multiple of the type's block, have the given standard deviation
/// around 0: row_bytes(type, n) bytes at dst (any alignment), the same for the same seed. For the types that
/// quantize_row does not make, IQ1 to IQ3; Error(kUnsupported) for others.
void random_row(TensorType type, uint64_t seed, double deviation, std::byte* dst, uint64_t n);

}  // namespace vkmoe
