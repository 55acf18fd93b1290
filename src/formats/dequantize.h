#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/tensor_type.h"

namespace vkmoe {

/// The reference for every kernel: n numbers, a multiple of the type's block, from row_bytes(type, n) bytes
/// at src (any alignment) to dst. Bit-equal to the `gguf` Python package.
void dequantize_row(TensorType type, const std::byte* src, float* dst, uint64_t n);

}  // namespace vkmoe
