#pragma once

#include "formats/tensor_type.h"
#include "kernels/op.h"

#include <cstdint>

namespace vkmoe {

/// The KV cache of one layer is two tensors, K and V, each [n_kv_heads, n_context, head_dim], as F32, F16 or
/// Q8_0. A row is head_dim numbers of one head at one position, in whole 32-bit words, and starts at a
/// multiple of 16 bytes:
///   F32   head_dim floats
///   F16   head_dim halves, two a word, the lower dimension in the lower half
///   Q8_0  head_dim int8, four a word, lowest first; then head_dim / 32 floats, the scale of each 32; then
///   zeros up to
///         16 bytes, which nothing reads or writes. A scale is max|x| / 127. (Not the blocks that GGUF calls
///         Q8_0.)

/// Bytes of one row. head_dim is a multiple of 32. Error(kUnsupported) for other types.
uint64_t kv_row_bytes(TensorType type, uint32_t head_dim);

/// Bytes of the K, or the V, of one layer.
uint64_t kv_layer_bytes(TensorType type, uint32_t n_kv_heads, uint32_t n_context, uint32_t head_dim);

/// The largest head_dim that kernels have registers for.
inline constexpr uint32_t kMaxHeadDim = 256;

/// Error(kInvalidArgument or kUnsupported) that names the op unless head_dim is a multiple of 32 and at most
/// kMaxHeadDim.
void require_head_dim(Op op, uint32_t head_dim);
/// Likewise unless n_heads query heads share the KV heads evenly, and rows of a layer can be counted in 32
/// bits.
void require_kv_heads(Op op, uint32_t n_heads, uint32_t n_kv_heads, uint32_t n_context);

}  // namespace vkmoe
