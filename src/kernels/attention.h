#pragma once

#include "kernels/dispatch.h"
#include "kernels/kernel_table.h"

#include <optional>
#include <vector>

namespace vkmoe {

/// How many parts the context is cut into, so that a few query rows still fill the device: a function of what
/// is known when the command buffer is recorded. 1: no scratch is used.
uint32_t attention_splits(const DevicePlan& plan, uint32_t n_tokens, uint32_t n_heads, uint32_t n_kv_heads,
                          uint32_t n_context);

/// Bytes of scratch for that many splits; 0 for one split that writes float32 only.
uint64_t attention_scratch_bytes(uint32_t n_tokens, uint32_t n_heads, uint32_t head_dim, uint32_t n_splits,
                                 bool q8_output = false);

/// How attention is laid out over invocations; zeros: by the plan. Tests set it to reach every layout on one
/// device.
struct AttentionTuning {
    uint32_t queries = 0;  ///< query rows of a tile, 1 to 16
    uint32_t rows = 0;     ///< cache rows a lane scores at a time, 1 to 8
    uint32_t cluster =
        0;  ///< lanes that share a row of K: a power of two, at most a subgroup; 1 on the scalar path
    uint32_t words_at_once = 0;  ///< words of V a lane sums at a time
    uint32_t value_rows = 0;     ///< rows of V that are loaded together: 1, 2 or 4
};

/// Causal attention of n_tokens new tokens over the KV cache of one layer. Token t sees rows max(0, p -
/// window + 1) .. p where p = positions[t]; the cache holds all of them by now, also those of this batch.
/// Query head h reads KV head h / (n_heads / n_kv_heads). A token whose position lies outside [0, n_context)
/// gets zeros. What is not finite in Q, K or V makes the outputs of the tokens that see it not finite, and
/// those of no others.
struct AttentionArgs {
    uint64_t q = 0;         ///< float32 [n_tokens, n_heads * head_dim]
    uint32_t q_stride = 0;  ///< floats from one token's row to the next; 0: n_heads * head_dim
    uint64_t k_cache = 0;   ///< layout: kv_cache.h
    uint64_t v_cache = 0;
    uint64_t positions = 0;  ///< int32 [n_tokens]
    uint64_t out = 0;        ///< float32 [n_tokens, n_heads * head_dim], or 0 where only q8_out is wanted
    uint64_t q8_out = 0;     ///< the same as packed int8, rows of q8_row_bytes(n_heads * head_dim), or 0
    uint64_t scratch = 0;    ///< attention_scratch_bytes(...) of device memory; 0 where that is 0
    TensorType kv_type = TensorType::kF16;
    uint32_t n_tokens = 0;
    uint32_t n_heads = 0;
    uint32_t n_kv_heads = 0;
    uint32_t head_dim = 0;     ///< a multiple of 32, at most 256
    uint32_t n_context = 0;    ///< rows of the cache
    uint32_t window = 0;       ///< rows a token sees, its own included; 0: all
    uint32_t n_splits = 1;     ///< of attention_splits; any number from 1 to 4096 is right
    float scale = 1;           ///< times q . k; commonly 1 / sqrt(head_dim)
    std::optional<Path> path;  ///< this very path, in place of the plan's best
    AttentionTuning tuning;
};

/// One dispatch; two where there are several splits or a q8_out: the second combines the parts.
/// Errors: kInvalidArgument for sizes that do not fit together, kUnsupported for a KV type or head_dim
/// without a kernel.
std::vector<Dispatch> attention(KernelContext& context, const AttentionArgs& args);

/// The second of these alone: combines the parts that lie in scratch (layout: shaders/attention/params.h)
/// into out and q8_out. Other arguments than these and the sizes are not looked at.
Dispatch attention_reduce(KernelContext& context, const AttentionArgs& args);

}  // namespace vkmoe
