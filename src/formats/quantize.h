#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/tensor_type.h"

namespace vkmoe {

/// Whether quantize_row makes this type.
bool can_quantize(TensorType type);

/// n finite numbers, a multiple of the type's block, to row_bytes(type, n) bytes at dst (any alignment). Made
/// for synthetic models and tests: it rounds well but does not weigh numbers by importance. Blocks whose
/// scale is beyond binary16 (numbers of some 10^5 and up) get the largest finite scale.
/// Error(kUnsupported) for types it does not make.
void quantize_row(TensorType type, const float* src, std::byte* dst, uint64_t n);

}  // namespace vkmoe
