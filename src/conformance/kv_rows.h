#pragma once

#include "formats/tensor_type.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vkmoe::conformance {

// Rows of the KV cache (layout: kernels/kv_cache.h) on the CPU.

/// Packs one row, kv_row_bytes(type, values.size()) long. A block of int8 with a number that is not finite
/// gets NaN as its scale.
void encode_kv_row(TensorType type, std::span<const float> values, std::byte* row);

/// What a packed row says.
std::vector<float> decode_kv_row(TensorType type, const std::byte* row, uint32_t head_dim);

/// What a device may make of a number of that type that is subnormal: itself, or zero, which is off by less.
double kv_least_normal(TensorType type);

}  // namespace vkmoe::conformance
