#pragma once

#include "kernels/dispatch.h"
#include "kernels/kernel_table.h"

#include <optional>
#include <span>
#include <vector>

namespace vkmoe {

/// Which dimensions of a head turn together.
enum class RopeStyle : uint32_t {
    kHalfSplit = 0,    ///< i and i + rope_dims / 2 (NeoX)
    kInterleaved = 1,  ///< 2i and 2i + 1
};

/// How fast each pair of dimensions turns: for pair i of rope_dims / 2 the frequency
/// base^(-2i / rope_dims) / factors[i] * frequency_scale, in turns per position modulo one turn, as 64-bit
/// fixed point in two words (the fraction's upper half, then its lower half). Positions are integers, so
/// whole turns drop out, and position times this is exact to 2^-32 turns at any position. Upload the words as
/// they are: QkNormRopeArgs::rope_table. factors: rope_dims / 2 of them, or empty. Error(kInvalidArgument)
/// where a number makes no sense.
std::vector<uint32_t> rope_table(uint32_t rope_dims, double base, double frequency_scale = 1.0,
                                 std::span<const float> factors = {});

/// Norm and rotary embedding of Q and K, and the write of K and V to the cache of one layer, in one dispatch.
/// Strides are floats from one token's row to the next; 0: the row's own length.
struct QkNormRopeArgs {
    uint64_t q = 0;      ///< float32 [n_tokens, n_heads * head_dim]
    uint64_t k = 0;      ///< float32 [n_tokens, n_kv_heads * head_dim]
    uint64_t v = 0;      ///< float32 [n_tokens, n_kv_heads * head_dim]
    uint64_t q_out = 0;  ///< as q; may be q itself
    uint32_t q_stride = 0;
    uint32_t k_stride = 0;
    uint32_t v_stride = 0;
    uint32_t q_out_stride = 0;
    uint64_t q_norm = 0;  ///< float32 [head_dim], or 0: the RMS norm's weight for each head of Q
    uint64_t k_norm = 0;  ///< float32 [head_dim], or 0
    float norm_epsilon = 0;
    uint64_t positions =
        0;  ///< int32 [n_tokens]; a token outside [0, n_context) writes nothing, not even q_out
    uint64_t rope_table = 0;  ///< from rope_table(); unused where rope_dims is 0
    uint32_t rope_dims = 0;   ///< the first so many dimensions of each head turn: even, at most head_dim
    RopeStyle rope_style = RopeStyle::kHalfSplit;
    float attention_factor = 1;  ///< times sine and cosine
    uint64_t k_cache = 0;        ///< layout: kv_cache.h
    uint64_t v_cache = 0;
    TensorType kv_type = TensorType::kF16;
    uint32_t n_tokens = 0;
    uint32_t n_heads = 0;
    uint32_t n_kv_heads = 0;
    uint32_t head_dim = 0;     ///< a multiple of 32, at most 256
    uint32_t n_context = 0;    ///< rows of the cache
    std::optional<Path> path;  ///< this very path, in place of the plan's best
};

/// Errors: kInvalidArgument for sizes that do not fit together, kUnsupported for a KV type or head_dim
/// without a kernel.
Dispatch qk_norm_rope(KernelContext& context, const QkNormRopeArgs& args);

}  // namespace vkmoe
