#pragma once

#include "model/batch_builder.h"

namespace vkmoe {

/// The blocks that architectures are made of. Each adds its dispatches to a batch and works on the
/// workspace's residual stream, [n_tokens, n_embedding].

/// How Q and K are normed before they turn.
enum class QkNorm {
    kNone,
    kEachHead,  ///< weights [head_dim]
    kAllHeads,  ///< weights [n_heads * head_dim] and [n_kv_heads * head_dim]
};

/// stream = rows of the embedding table by the workspace's tokens.
void add_embedding(BatchBuilder& batch);
/// stream += output . attention(norm(stream)), with this batch's keys and values written to the cache.
void add_attention(BatchBuilder& batch, uint32_t layer, QkNorm qk_norm);
/// stream += down . (silu(gate . x) * (up . x)), x = norm(stream).
void add_dense_feed_forward(BatchBuilder& batch, uint32_t layer);
/// The same by the experts that the router picks for each token, weighted and summed.
void add_expert_feed_forward(BatchBuilder& batch, uint32_t layer);
/// logits[i] = output . norm(stream[first_row + i]), i < n_rows.
void add_logits(BatchBuilder& batch, uint32_t first_row, uint32_t n_rows);
/// next_token = the most likely one by the first row of logits.
void add_argmax(BatchBuilder& batch);

}  // namespace vkmoe
