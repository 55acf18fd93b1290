#include "model/blocks.h"

#include "kernels/argmax.h"
#include "kernels/attention.h"
#include "kernels/combine.h"
#include "kernels/embed_rows.h"
#include "kernels/expert_matmul.h"
#include "kernels/expert_matvec_sum.h"
#include "kernels/linear_shape.h"
#include "kernels/qk_norm_rope.h"
#include "kernels/quantize_q8.h"
#include "kernels/rms_norm.h"
#include "kernels/router.h"
#include "kernels/router_statistics.h"
#include "kernels/swiglu.h"
#include "model/look_ahead.h"
#include "model/model.h"

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

/// silu(gate) * up from the workspace, in the form that a matrix of this type reads.
Rows add_swiglu(BatchBuilder& batch, uint32_t n_rows, uint32_t n_columns, TensorType reader) {
    Workspace& workspace = batch.workspace();
    const Rows inner = batch.rows_for(workspace.inner, batch.n_tokens(), {reader});
    batch.add(swiglu(batch.kernels(), {.gate = workspace.gate.address,
                                       .up = workspace.up.address,
                                       .output = inner.f32,
                                       .output_q8 = inner.q8,
                                       .n_rows = n_rows,
                                       .n_columns = n_columns}));
    batch.pack(inner, n_rows, n_columns);
    return inner;
}

/// Few tokens: each (token, slot) pair by itself. Gate, up and activation in one dispatch where gate and up
/// are of one type; the weighted sum inside the down projection.
void add_experts_few(BatchBuilder& batch, const Experts& experts, uint64_t ids, uint64_t x_gate,
                     uint64_t x_up) {
    const HyperParameters& hyper = batch.hyper();
    Workspace& workspace = batch.workspace();
    const uint32_t n_pairs = batch.n_tokens() * hyper.n_experts_used;
    const uint32_t inner_width = hyper.n_expert_feed_forward;
    ExpertMatvecArgs args{.type = experts.gate_type,
                          .experts = experts.table,
                          .ids = ids,
                          .x = x_gate,
                          .first_offset = experts.gate_offset,
                          .n_rows = inner_width,
                          .n_columns = hyper.n_embedding,
                          .n_pairs = n_pairs,
                          .x_divisor = hyper.n_experts_used};
    Rows inner{.f32 = workspace.inner.f32.address};
    if (experts.gate_type == experts.up_type) {
        args.y = workspace.inner.f32.address;
        args.gated = true;
        args.second_offset = experts.up_offset;
        args.label = "experts gate+up";
        batch.add(expert_matvec(batch.kernels(), args));
        if (batch.layout(experts.down_type, batch.n_tokens()) == ActivationLayout::kQ8) {
            inner.q8 = workspace.inner.q8.address;
            batch.add(quantize_q8(
                batch.kernels(),
                {.input = inner.f32, .output = inner.q8, .n_rows = n_pairs, .n_columns = inner_width}));
        }
    } else {
        args.y = workspace.gate.address;
        args.label = "experts gate";
        batch.add(expert_matvec(batch.kernels(), args));
        args.type = experts.up_type;
        args.x = x_up;
        args.y = workspace.up.address;
        args.first_offset = experts.up_offset;
        args.label = "experts up";
        batch.add(expert_matvec(batch.kernels(), args));
        inner = add_swiglu(batch, n_pairs, inner_width, experts.down_type);
    }
    batch.add(
        expert_matvec_sum(batch.kernels(), {.type = experts.down_type,
                                            .experts = experts.table,
                                            .ids = ids,
                                            .weights = workspace.expert_weights.address,
                                            .x = inner.in(batch.layout(experts.down_type, batch.n_tokens())),
                                            .y = workspace.stream.address,
                                            .residual = workspace.stream.address,
                                            .offset = experts.down_offset,
                                            .n_rows = hyper.n_embedding,
                                            .n_columns = inner_width,
                                            .n_tokens = batch.n_tokens(),
                                            .n_slots = hyper.n_experts_used,
                                            .label = "experts down"}));
}

/// Many tokens: grouped by expert, so that each expert's weights are read once for a tile of them.
void add_experts_many(BatchBuilder& batch, const Experts& experts, uint64_t ids, uint64_t x_gate,
                      uint64_t x_up) {
    const HyperParameters& hyper = batch.hyper();
    Workspace& workspace = batch.workspace();
    const uint32_t n_pairs = batch.n_tokens() * hyper.n_experts_used;
    const uint32_t inner_width = hyper.n_expert_feed_forward;
    KernelContext& kernels = batch.kernels();
    const bool one_type = experts.gate_type == experts.up_type;
    const DevicePlan& plan = kernels.plan();
    const Path gate_path = linear_path(kernels, Op::kExpertMatmul, experts.gate_type);
    const Path up_path = linear_path(kernels, Op::kExpertMatmul, experts.up_type);
    const Path down_path = linear_path(kernels, Op::kExpertMatmul, experts.down_type);
    // Groups beyond a matrix do nothing, so the grid of the smaller tiles serves gate and up.
    const uint32_t inner_groups = std::max(expert_tile_rows(plan, gate_path, inner_width),
                                           expert_tile_rows(plan, up_path, inner_width));
    batch.add(group_routes(kernels, {.ids = ids,
                                     .grouped = workspace.grouped,
                                     .n_pairs = n_pairs,
                                     .n_experts = hyper.n_experts,
                                     .tile_tokens = expert_tile_tokens(plan, {gate_path, up_path, down_path}),
                                     .first_y = inner_groups,
                                     .first_z = one_type ? 2u : 1u,
                                     .second_y = expert_tile_rows(plan, down_path, hyper.n_embedding),
                                     .second_z = 1}));
    ExpertMatmulArgs args{.type = experts.gate_type,
                          .experts = experts.table,
                          .ids = ids,
                          .grouped = workspace.grouped,
                          .x = x_gate,
                          .first_y = workspace.gate.address,
                          .first_offset = experts.gate_offset,
                          .n_rows = inner_width,
                          .n_columns = hyper.n_embedding,
                          .n_pairs = n_pairs,
                          .x_divisor = hyper.n_experts_used,
                          .label = "experts gate+up"};
    if (one_type) {
        args.second_y = workspace.up.address;
        args.second_offset = experts.up_offset;
        batch.add(expert_matmul(kernels, args));
    } else {
        batch.add(expert_matmul(kernels, args));
        args.type = experts.up_type;
        args.x = x_up;
        args.first_y = workspace.up.address;
        args.first_offset = experts.up_offset;
        batch.add(expert_matmul(kernels, args));
    }
    Rows inner = add_swiglu(batch, n_pairs, inner_width, experts.down_type);
    batch.add(expert_matmul(kernels, {.type = experts.down_type,
                                      .experts = experts.table,
                                      .ids = ids,
                                      .grouped = workspace.grouped,
                                      .second_dispatch = true,
                                      .x = inner.in(batch.layout(experts.down_type, batch.n_tokens())),
                                      .first_y = workspace.expert_output.address,
                                      .first_offset = experts.down_offset,
                                      .n_rows = hyper.n_embedding,
                                      .n_columns = inner_width,
                                      .n_pairs = n_pairs,
                                      .label = "experts down"}));
    batch.add(combine(kernels, {.expert_output = workspace.expert_output.address,
                                .weights = workspace.expert_weights.address,
                                .residual = workspace.stream.address,
                                .output = workspace.stream.address,
                                .n_tokens = batch.n_tokens(),
                                .n_slots = hyper.n_experts_used,
                                .n_columns = hyper.n_embedding}));
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

    Rows x = batch.norm(weights.attention_norm, workspace.stream.address, n,
                        {weights.q.type, weights.k.type, weights.v.type});
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
    const Rows attended = batch.rows_for(workspace.attended, n, {weights.attention_output.type});
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
                        {weights.gate.type, weights.up.type});
    batch.linear("dense gate", weights.gate, x, workspace.gate.address, n);
    batch.linear("dense up", weights.up, x, workspace.up.address, n);
    Rows inner = add_swiglu(batch, n, weights.gate.n_rows, weights.down.type);
    batch.linear("dense down", weights.down, inner, workspace.stream.address, n, workspace.stream.address);
}

void add_expert_feed_forward(BatchBuilder& batch, uint32_t layer) {
    const HyperParameters& hyper = batch.hyper();
    const LayerWeights& weights = batch.model().weights().layers[layer];
    const Experts& experts = weights.experts;
    Workspace& workspace = batch.workspace();
    const uint32_t n = batch.n_tokens();

    Rows x = batch.norm(
        weights.feed_forward_norm, workspace.stream.address, n,
        {weights.router.type, look_ahead_reader(batch, layer), experts.gate_type, experts.up_type});
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
                      .renormalize = hyper.renormalize_experts,
                      .scale = hyper.expert_weight_scale}));
    if (workspace.router_sums.size != 0) {
        const uint64_t sums_bytes = 2 * uint64_t{hyper.n_experts} * sizeof(float);
        batch.add(router_statistics(
            batch.kernels(), {.logits = workspace.router_logits.address,
                              .sums = workspace.router_sums.slice(layer * sums_bytes, sums_bytes).address,
                              .n_tokens = n,
                              .n_experts = hyper.n_experts}));
    }
    add_look_ahead(batch, layer, x);
    const uint64_t x_gate = x.in(batch.layout(experts.gate_type, n));
    const uint64_t x_up = x.in(batch.layout(experts.up_type, n));
    if (n <= kMaxMatvecTokens) {
        add_experts_few(batch, experts, ids, x_gate, x_up);
    } else {
        add_experts_many(batch, experts, ids, x_gate, x_up);
    }
}

void add_logits(BatchBuilder& batch, uint32_t first_row, uint32_t n_rows) {
    const Weights& weights = batch.model().weights();
    Workspace& workspace = batch.workspace();
    const uint64_t row_bytes = uint64_t{batch.hyper().n_embedding} * sizeof(float);
    Rows x = batch.norm(weights.output_norm, workspace.stream.address + first_row * row_bytes, n_rows,
                        {weights.output.type});
    batch.linear("logits", weights.output, x, workspace.logits.address, n_rows);
}

void add_argmax(BatchBuilder& batch) {
    batch.add(argmax(batch.kernels(), {.input = batch.workspace().logits.address,
                                       .output = batch.workspace().next_token.address,
                                       .n_rows = 1,
                                       .n_columns = batch.hyper().n_vocabulary}));
}

}  // namespace vkmoe
