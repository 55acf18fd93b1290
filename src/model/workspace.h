#pragma once

#include "gpu/arena.h"
#include "kernels/activation.h"
#include "kernels/group_routes.h"
#include "model/hyper_parameters.h"
#include "model/pager_workspace.h"
#include "model/session_memory.h"

#include <array>
#include <memory>

namespace vkmoe {

class Model;

/// The same rows of activations in the layouts that their readers want: addresses, 0 where nobody does.
struct Rows {
    uint64_t f32 = 0;
    uint64_t q8 = 0;
    uint64_t f16 = 0;  ///< packed from f32, which is then there too

    uint64_t in(ActivationLayout layout) const {
        return layout == ActivationLayout::kQ8 ? q8 : layout == ActivationLayout::kFloat16 ? f16 : f32;
    }
};

/// Memory for rows in every layout; f16 is empty where no path of the device reads it.
struct RowBuffers {
    Allocation f32;
    Allocation q8;
    Allocation f16;
};

/// What the look-ahead (look_ahead.h) says in each layer of the next one with experts; empty where it is not
/// wanted.
struct LookAheadBuffers {
    uint32_t n_predicted = 0;  ///< experts that it names for each token, the likeliest first
    Allocation logits;         ///< float32 [max_tokens, n_experts], of one layer
    Allocation ids;            ///< uint32 [n_layers, max_tokens, n_predicted]
    Allocation probabilities;  ///< float32, likewise: the softmax's own, over all experts
};

/// Device memory for the activations of one batch of at most max_tokens tokens, laid out once for a session:
/// command buffers that are replayed refer to it.
struct Workspace {
    /// mode kMeasure: no memory is taken, and only device_arena->committed_bytes() means anything.
    Workspace(const Model& model, const SessionShape& shape, ArenaMode mode = ArenaMode::kTake);

    /// A layer's part of what is kept for each layer, [max_tokens, width] numbers of 4 bytes.
    Allocation layer_part(const Allocation& all_layers, uint32_t layer, uint32_t width) const;

    uint32_t max_tokens;
    uint32_t max_logit_rows;
    std::unique_ptr<Arena> device_arena;
    std::unique_ptr<Arena> upload_arena;
    std::unique_ptr<Arena> readback_arena;

    // written by the host before a batch runs
    Allocation tokens;     ///< int32 [max_tokens]
    Allocation positions;  ///< int32 [max_tokens]

    Allocation stream;    ///< the residual stream: float32 [max_tokens, n_embedding]
    RowBuffers normed;    ///< [max_tokens, n_embedding]
    Allocation q;         ///< float32 [max_tokens, n_heads * head_dim]
    Allocation k;         ///< float32 [max_tokens, n_kv_heads * head_dim]
    Allocation v;         ///< float32 [max_tokens, n_kv_heads * head_dim]
    RowBuffers attended;  ///< [max_tokens, n_heads * head_dim]
    Allocation attention_scratch;
    std::array<Allocation, 3> split_sums;  ///< of products that run at once; empty: the plan splits none
    Allocation router_logits;              ///< float32 [max_tokens, n_experts]
    Allocation expert_ids;                 ///< uint32 [n_layers, max_tokens, n_experts_used]
    Allocation expert_weights;             ///< float32 [max_tokens, n_experts_used]
    /// What batches add to, of all layers, and room for a copy of it. Zero at first; empty without experts.
    Allocation route_totals;
    Allocation kept_route_totals;
    Allocation expert_counts;  ///< of route_totals, uint32 [n_layers, n_experts]: how often each was chosen
    /// Of route_totals, float32 [n_layers, n_experts, 2] of router_statistics; empty: not wanted.
    Allocation router_sums;
    LookAheadBuffers look_ahead;
    PagerWorkspace paging;  ///< empty where the model has no pager
    GroupedRoutes grouped;
    Allocation gate;   ///< float32 [rows, n_feed_forward] where rows: tokens, or tokens * n_experts_used
    Allocation up;     ///< likewise
    RowBuffers inner;  ///< silu(gate) * up
    Allocation expert_output;    ///< float32 [max_tokens, n_experts_used, n_embedding]
    Allocation logits;           ///< float32 [max_logit_rows, n_vocabulary]
    Allocation logits_readback;  ///< the same on the host's side
    Allocation next_token;       ///< uint32: the most likely next token, on the host's side

  private:
    void lay_out(const Model& model, const SessionShape& shape);
    void lay_out_route_totals(const HyperParameters& hyper, bool with_sums);
};

}  // namespace vkmoe
