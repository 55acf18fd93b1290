#include "model/blocks.h"

#include "experts/pager.h"
#include "kernels/argmax.h"
#include "kernels/attention.h"
#include "kernels/embed_rows.h"
#include "kernels/qk_norm_rope.h"
#include "kernels/rms_norm.h"
#include "kernels/router.h"
#include "kernels/router_statistics.h"
#include "model/expert_blocks.h"
#include "model/look_ahead.h"
#include "model/model.h"
#include "model/paged_experts.h"

#include <algorithm>
#include <cmath>

namespace vkmoe {

namespace {

/// Norms whole rows of Q or K in place.
void add_row_norm(BatchBuilder& batch, const Vector& weight, uint64_t rows) {
    batch.add(rms_norm(batch.kernels(), {.input = rows,
                                         .weight = weight.address,
                                         .output = rows,
                                         .n_rows = batch.n_tokens(),
                                         .n_columns = weight.size,
                                         .epsilon = batch.hyper().norm_epsilon}));
}

}  // namespace

void add_embedding(BatchBuilder& batch) {
    const Matrix& table = batch.model().weights().embedding;
    batch.add(embed_rows(batch.kernels(), {.type = table.type,
                                           .table = table.address,
                                           .tokens = batch.workspace().tokens.address,
                                           .output = batch.workspace().stream.address,
                                           .n_tokens = batch.n_tokens(),
                                           .n_columns = table.n_columns,
                                           .n_vocabulary = table.n_rows}));
}

void add_attention(BatchBuilder& batch, uint32_t layer, QkNorm qk_norm) {
    const HyperParameters& hyper = batch.hyper();
    const LayerWeights& weights = batch.model().weights().layers[layer];
    Workspace& workspace = batch.workspace();
    const uint32_t n = batch.n_tokens();

    Rows x = batch.norm(
        weights.attention_norm, workspace.stream.address, n,
        {batch.layout(weights.q.type), batch.layout(weights.k.type), batch.layout(weights.v.type)});
    batch.linear("attention q", weights.q, x, workspace.q.address, n);
    batch.linear("attention k", weights.k, x, workspace.k.address, n);
    batch.linear("attention v", weights.v, x, workspace.v.address, n);
    if (qk_norm == QkNorm::kAllHeads) {
        add_row_norm(batch, weights.q_norm, workspace.q.address);
        add_row_norm(batch, weights.k_norm, workspace.k.address);
    }
    const bool each_head = qk_norm == QkNorm::kEachHead;
    batch.add(qk_norm_rope(batch.kernels(), {.q = workspace.q.address,
                                             .k = workspace.k.address,
                                             .v = workspace.v.address,
                                             .q_out = workspace.q.address,
                                             .q_norm = each_head ? weights.q_norm.address : 0,
                                             .k_norm = each_head ? weights.k_norm.address : 0,
                                             .norm_epsilon = hyper.norm_epsilon,
                                             .positions = workspace.positions.address,
                                             .rope_table = batch.model().weights().rope_table.address,
                                             .rope_dims = hyper.rope_dims,
                                             .rope_style = hyper.rope_style,
                                             .k_cache = batch.cache().keys(layer),
                                             .v_cache = batch.cache().values(layer),
                                             .kv_type = batch.cache().type(),
                                             .n_tokens = n,
                                             .n_heads = hyper.n_heads,
                                             .n_kv_heads = hyper.n_kv_heads,
                                             .head_dim = hyper.head_dim,
                                             .n_context = batch.cache().n_context()}));
    const Rows attended =
        BatchBuilder::rows_for(workspace.attended, {batch.layout(weights.attention_output.type)});
    batch.add(
        attention(batch.kernels(), {.q = workspace.q.address,
                                    .k_cache = batch.cache().keys(layer),
                                    .v_cache = batch.cache().values(layer),
                                    .positions = workspace.positions.address,
                                    .out = attended.f32,
                                    .q8_out = attended.q8,
                                    .scratch = workspace.attention_scratch.address,
                                    .kv_type = batch.cache().type(),
                                    .n_tokens = n,
                                    .n_heads = hyper.n_heads,
                                    .n_kv_heads = hyper.n_kv_heads,
                                    .head_dim = hyper.head_dim,
                                    .n_context = batch.cache().n_context(),
                                    .n_splits = attention_splits(batch.kernels().plan(), n, hyper.n_heads,
                                                                 hyper.n_kv_heads, batch.cache().n_context()),
                                    .scale = 1.0f / std::sqrt(static_cast<float>(hyper.head_dim))}));
    batch.pack(attended, n, weights.attention_output.n_columns);
    batch.linear("attention output", weights.attention_output, attended, workspace.stream.address, n,
                 workspace.stream.address);
}

void add_dense_feed_forward(BatchBuilder& batch, uint32_t layer) {
    const LayerWeights& weights = batch.model().weights().layers[layer];
    Workspace& workspace = batch.workspace();
    const uint32_t n = batch.n_tokens();
    Rows x = batch.norm(weights.feed_forward_norm, workspace.stream.address, n,
                        {batch.layout(weights.gate.type), batch.layout(weights.up.type)});
    batch.linear("dense gate", weights.gate, x, workspace.gate.address, n);
    batch.linear("dense up", weights.up, x, workspace.up.address, n);
    Inner inner = swiglu_rows(batch, 0, n, weights.gate.n_rows, batch.layout(weights.down.type));
    batch.add(std::move(inner.dispatches));
    batch.linear("dense down", weights.down, inner.rows, workspace.stream.address, n,
                 workspace.stream.address);
}

void add_expert_feed_forward(BatchBuilder& batch, uint32_t layer) {
    const HyperParameters& hyper = batch.hyper();
    const LayerWeights& weights = batch.model().weights().layers[layer];
    const Experts& experts = weights.experts;
    Workspace& workspace = batch.workspace();
    const uint32_t n = batch.n_tokens();

    const ExpertChoice choice = choose_experts(batch.kernels().plan(),
                                               {.gate_type = experts.gate_type,
                                                .up_type = experts.up_type,
                                                .down_type = experts.down_type,
                                                .n_embedding = hyper.n_embedding,
                                                .n_feed_forward = hyper.n_expert_feed_forward,
                                                .n_experts = hyper.n_experts,
                                                .n_used = hyper.n_experts_used},
                                               n);
    const ActivationLayout gate_layout = batch.layout(choice.gate_up, experts.gate_type);
    const ActivationLayout up_layout = batch.layout(choice.gate_up, experts.up_type);
    Rows x = batch.norm(weights.feed_forward_norm, workspace.stream.address, n,
                        {batch.layout(weights.router.type), batch.layout(look_ahead_reader(batch, layer)),
                         gate_layout, up_layout});
    batch.linear("router", weights.router, x, workspace.router_logits.address, n);
    const uint64_t ids = workspace.layer_part(workspace.expert_ids, layer, hyper.n_experts_used).address;
    const uint64_t counts_bytes = uint64_t{hyper.n_experts} * sizeof(uint32_t);
    batch.add(router(batch.kernels(),
                     {.logits = workspace.router_logits.address,
                      .ids = ids,
                      .weights = workspace.expert_weights.address,
                      .counts = workspace.expert_counts.slice(layer * counts_bytes, counts_bytes).address,
                      .n_tokens = n,
                      .n_experts = hyper.n_experts,
                      .n_slots = hyper.n_experts_used,
                      .renormalize = hyper.renormalize_experts}));
    if (workspace.router_sums.size != 0) {
        const uint64_t sums_bytes = 2 * uint64_t{hyper.n_experts} * sizeof(float);
        batch.add(router_statistics(
            batch.kernels(), {.logits = workspace.router_logits.address,
                              .sums = workspace.router_sums.slice(layer * sums_bytes, sums_bytes).address,
                              .n_tokens = n,
                              .n_experts = hyper.n_experts}));
    }
    add_look_ahead(batch, layer, x);
    const Pager* pager = batch.model().pager();
    Experts found = experts;
    if (pager != nullptr) found.table = pager->table(experts.ordinal);
    const ExpertRows rows{.experts = found,
                          .choice = choice,
                          .ids = ids,
                          .x_gate = x.in(gate_layout),
                          .x_up = x.in(up_layout),
                          .n_tokens = n};
    if (pager != nullptr && !pager->plan().holds_all) {
        add_paged_experts(batch, layer, rows);
    } else {
        add_experts(batch, rows);
    }
}

void add_logits(BatchBuilder& batch, uint32_t first_row, uint32_t n_rows) {
    const Weights& weights = batch.model().weights();
    Workspace& workspace = batch.workspace();
    const uint64_t row_bytes = uint64_t{batch.hyper().n_embedding} * sizeof(float);
    Rows x = batch.norm(weights.output_norm, workspace.stream.address + first_row * row_bytes, n_rows,
                        {batch.layout(weights.output.type, n_rows)});
    batch.linear("logits", weights.output, x, workspace.logits.address, n_rows);
}

void add_argmax(BatchBuilder& batch) {
    batch.add(argmax(batch.kernels(), {.input = batch.workspace().logits.address,
                                       .output = batch.workspace().next_token.address,
                                       .n_rows = 1,
                                       .n_columns = batch.hyper().n_vocabulary}));
}

}  // namespace vkmoe
