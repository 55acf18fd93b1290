#include "model/expert_blocks.h"

#include "kernels/combine.h"
#include "kernels/expert_matmul.h"
#include "kernels/expert_matvec_sum.h"
#include "kernels/linear_shape.h"
#include "kernels/quantize_q8.h"
#include "kernels/swiglu.h"
#include "model/model.h"

#include <algorithm>

namespace vkmoe {

namespace {

/// The address of a row in rows of float32.
uint64_t row_of(const Allocation& rows, uint64_t row, uint64_t n_columns) {
    return rows.address + row * n_columns * sizeof(float);
}

/// The same rows from one of them on.
Rows rows_from(const Rows& rows, uint64_t first_row, uint64_t n_columns) {
    const auto moved = [&](uint64_t address, ActivationLayout layout) {
        return address == 0 ? 0 : address + first_row * activation_row_bytes(layout, n_columns);
    };
    return {.f32 = moved(rows.f32, ActivationLayout::kFloat32),
            .q8 = moved(rows.q8, ActivationLayout::kQ8),
            .f16 = moved(rows.f16, ActivationLayout::kFloat16)};
}

/// swiglu_rows where the kernel of gate and up has written the float32 rows.
Inner gated_rows(const BatchBuilder& batch, uint32_t first_row, uint32_t n_rows, uint32_t n_columns,
                 ActivationLayout reader, RowChoice choice = {}) {
    const RowBuffers& buffers = batch.workspace().inner;
    Inner inner;
    inner.rows = rows_from({.f32 = buffers.f32.address, .q8 = buffers.q8.address, .f16 = buffers.f16.address},
                           first_row, n_columns);
    switch (reader) {
        case ActivationLayout::kQ8:
            inner.dispatches.push_back(quantize_q8(batch.kernels(), {.input = inner.rows.f32,
                                                                     .output = inner.rows.q8,
                                                                     .n_rows = n_rows,
                                                                     .n_columns = n_columns}));
            break;
        case ActivationLayout::kFloat16:
            inner.dispatches.push_back(*batch.packed(inner.rows, n_rows, n_columns, choice));
            break;
        case ActivationLayout::kFloat32:
            break;
    }
    return inner;
}

}  // namespace

Inner swiglu_rows(const BatchBuilder& batch, uint32_t first_row, uint32_t n_rows, uint32_t n_columns,
                  ActivationLayout reader, RowChoice choice) {
    const Workspace& workspace = batch.workspace();
    Inner inner;
    inner.rows = rows_from(BatchBuilder::rows_for(workspace.inner, {reader}), first_row, n_columns);
    inner.dispatches.push_back(swiglu(batch.kernels(), {.gate = row_of(workspace.gate, first_row, n_columns),
                                                        .up = row_of(workspace.up, first_row, n_columns),
                                                        .output = inner.rows.f32,
                                                        .output_q8 = inner.rows.q8,
                                                        .n_rows = n_rows,
                                                        .n_columns = n_columns,
                                                        .rows = choice}));
    if (std::optional<Dispatch> packed = batch.packed(inner.rows, n_rows, n_columns, choice))
        inner.dispatches.push_back(*std::move(packed));
    return inner;
}

std::vector<Dispatch> gate_up_of_few(const BatchBuilder& batch, const ExpertRows& rows, uint64_t ids,
                                     MemoryView memory) {
    const HyperParameters& hyper = batch.hyper();
    const Workspace& workspace = batch.workspace();
    const Experts& experts = rows.experts;
    const uint64_t first_pair = uint64_t{rows.first_token} * hyper.n_experts_used;
    const uint32_t inner_width = hyper.n_expert_feed_forward;
    const auto x_of = [&](uint64_t x, TensorType type) {
        const ActivationLayout layout = batch.layout(ExpertForm::kPairs, type);
        return x + rows.first_token * activation_row_bytes(layout, hyper.n_embedding);
    };
    ExpertMatvecArgs args{.type = experts.gate_type,
                          .experts = {experts.table.records, experts.table.n_experts, memory},
                          .ids = ids,
                          .x = x_of(rows.x_gate, experts.gate_type),
                          .first_offset = experts.gate_offset,
                          .n_rows = inner_width,
                          .n_columns = hyper.n_embedding,
                          .n_pairs = rows.n_tokens * hyper.n_experts_used,
                          .x_divisor = hyper.n_experts_used};
    std::vector<Dispatch> dispatches;
    if (experts.gate_type == experts.up_type) {
        args.y = row_of(workspace.inner.f32, first_pair, inner_width);
        args.gated = true;
        args.second_offset = experts.up_offset;
        args.label = "experts gate+up";
        dispatches.push_back(expert_matvec(batch.kernels(), args));
        return dispatches;
    }
    args.y = row_of(workspace.gate, first_pair, inner_width);
    args.label = "experts gate";
    dispatches.push_back(expert_matvec(batch.kernels(), args));
    args.type = experts.up_type;
    args.x = x_of(rows.x_up, experts.up_type);
    args.y = row_of(workspace.up, first_pair, inner_width);
    args.first_offset = experts.up_offset;
    args.label = "experts up";
    dispatches.push_back(expert_matvec(batch.kernels(), args));
    return dispatches;
}

std::vector<Dispatch> down_of_few(BatchBuilder& batch, const ExpertRows& rows) {
    const HyperParameters& hyper = batch.hyper();
    const Workspace& workspace = batch.workspace();
    const Experts& experts = rows.experts;
    const uint32_t n_pairs = rows.n_tokens * hyper.n_experts_used;
    const uint32_t first_pair = rows.first_token * hyper.n_experts_used;
    const uint32_t inner_width = hyper.n_expert_feed_forward;
    const ActivationLayout layout = batch.layout(ExpertForm::kPairs, experts.down_type);
    // gate_up_of_few does the activation where it can, and so does grouped_gate_up.
    const bool gated = experts.gate_type == experts.up_type;
    Inner inner = gated ? gated_rows(batch, first_pair, n_pairs, inner_width, layout)
                        : swiglu_rows(batch, first_pair, n_pairs, inner_width, layout);
    const uint64_t stream = row_of(workspace.stream, rows.first_token, hyper.n_embedding);
    inner.dispatches.push_back(
        expert_matvec_sum(batch.kernels(), {.type = experts.down_type,
                                            .experts = experts.table,
                                            .ids = rows.ids + first_pair * sizeof(uint32_t),
                                            .weights = row_of(workspace.expert_weights, first_pair, 1),
                                            .x = inner.rows.in(layout),
                                            .y = stream,
                                            .residual = stream,
                                            .offset = experts.down_offset,
                                            .n_rows = hyper.n_embedding,
                                            .n_columns = inner_width,
                                            .n_tokens = rows.n_tokens,
                                            .n_slots = hyper.n_experts_used,
                                            .label = "experts down"}));
    return std::move(inner.dispatches);
}

namespace {

GroupedGateUp grouped_gate_up(const BatchBuilder& batch, const ExpertRows& rows, uint64_t ids,
                              MemoryView memory) {
    const HyperParameters& hyper = batch.hyper();
    const Workspace& workspace = batch.workspace();
    const Experts& experts = rows.experts;
    const ExpertChoice& choice = rows.choice;
    const uint32_t n_pairs = batch.n_tokens() * hyper.n_experts_used;
    const uint32_t inner_width = hyper.n_expert_feed_forward;
    KernelContext& kernels = batch.kernels();
    const auto path_of = [&](ExpertForm form, TensorType type) {
        return linear_path(kernels, expert_op(form), type);
    };
    const Path gate_path = path_of(choice.gate_up, experts.gate_type);
    const bool in_registers = choice.gate_up == ExpertForm::kRegisters;
    const bool one_type = experts.gate_type == experts.up_type;
    GroupedGateUp parts;
    parts.gated = one_type && (in_registers || expert_matmul_gates(kernels.plan(), gate_path));
    const ExpertTiles gate{.path = gate_path,
                           .in_registers = in_registers,
                           .gated = parts.gated,
                           .n_matrices = one_type ? 2u : 1u,
                           .n_rows = inner_width};
    std::array<TileGrid, kTileDispatches> grids{expert_tile_grid(kernels.plan(), gate)};
    if (!one_type)
        grids[1] = expert_tile_grid(kernels.plan(), {.path = path_of(choice.gate_up, experts.up_type),
                                                     .in_registers = in_registers,
                                                     .n_rows = inner_width});
    if (choice.down != ExpertForm::kPairs)
        grids[2] = expert_tile_grid(kernels.plan(), {.path = path_of(choice.down, experts.down_type),
                                                     .in_registers = choice.down == ExpertForm::kRegisters,
                                                     .n_rows = hyper.n_embedding});
    parts.group.push_back(group_routes(kernels, {.ids = ids,
                                                 .grouped = workspace.grouped,
                                                 .n_pairs = n_pairs,
                                                 .n_experts = hyper.n_experts,
                                                 .tile_tokens = choice.tile_tokens,
                                                 .grids = grids}));
    ExpertMatmulArgs args{.type = experts.gate_type,
                          .experts = {experts.table.records, experts.table.n_experts, memory},
                          .grouped = workspace.grouped,
                          .tile_tokens = choice.tile_tokens,
                          .in_registers = in_registers,
                          .dispatch = 0,
                          .x = rows.x_gate,
                          .first_y = parts.gated ? workspace.inner.f32.address : workspace.gate.address,
                          .gated = parts.gated,
                          .first_offset = experts.gate_offset,
                          .n_rows = inner_width,
                          .n_columns = hyper.n_embedding,
                          .n_pairs = n_pairs,
                          .x_divisor = hyper.n_experts_used,
                          .label = "experts gate+up"};
    if (one_type) {
        if (!parts.gated) args.second_y = workspace.up.address;
        args.second_offset = experts.up_offset;
        parts.gate_up.push_back(expert_matmul(kernels, args));
    } else {
        parts.gate_up.push_back(expert_matmul(kernels, args));
        args.type = experts.up_type;
        args.dispatch = 1;
        args.x = rows.x_up;
        args.first_y = workspace.up.address;
        args.first_offset = experts.up_offset;
        parts.gate_up.push_back(expert_matmul(kernels, args));
    }
    return parts;
}

}  // namespace

ExpertsOfMany experts_of_many(BatchBuilder& batch, const ExpertRows& rows, uint64_t ids, MemoryView memory) {
    const HyperParameters& hyper = batch.hyper();
    const Workspace& workspace = batch.workspace();
    const Experts& experts = rows.experts;
    const uint32_t n_pairs = batch.n_tokens() * hyper.n_experts_used;
    ExpertsOfMany parts{grouped_gate_up(batch, rows, ids, memory)};
    const ActivationLayout layout = batch.layout(rows.choice.down, experts.down_type);
    const uint32_t inner_width = hyper.n_expert_feed_forward;
    const RowChoice choice{ids, hyper.n_experts};
    Inner inner = parts.gated ? gated_rows(batch, 0, n_pairs, inner_width, layout, choice)
                              : swiglu_rows(batch, 0, n_pairs, inner_width, layout, choice);
    parts.inner = std::move(inner.dispatches);
    parts.down.push_back(
        expert_matmul(batch.kernels(), {.type = experts.down_type,
                                        .experts = {experts.table.records, experts.table.n_experts, memory},
                                        .grouped = workspace.grouped,
                                        .tile_tokens = rows.choice.tile_tokens,
                                        .in_registers = rows.choice.down == ExpertForm::kRegisters,
                                        .dispatch = 2,
                                        .x = inner.rows.in(layout),
                                        .first_y = workspace.expert_output.address,
                                        .first_offset = experts.down_offset,
                                        .n_rows = hyper.n_embedding,
                                        .n_columns = inner_width,
                                        .n_pairs = n_pairs,
                                        .label = "experts down"}));
    return parts;
}

Dispatch combine_experts(const BatchBuilder& batch, const ExpertRows& rows) {
    const Workspace& workspace = batch.workspace();
    return combine(batch.kernels(), {.expert_output = workspace.expert_output.address,
                                     .weights = workspace.expert_weights.address,
                                     .residual = workspace.stream.address,
                                     .output = workspace.stream.address,
                                     .n_tokens = batch.n_tokens(),
                                     .n_slots = batch.hyper().n_experts_used,
                                     .n_columns = batch.hyper().n_embedding,
                                     .rows = {rows.ids, batch.hyper().n_experts}});
}

void add_experts(BatchBuilder& batch, const ExpertRows& rows) {
    const MemoryView memory = rows.experts.table.memory;
    if (rows.choice.down == ExpertForm::kPairs) {
        if (rows.choice.gate_up == ExpertForm::kPairs) {
            batch.add(gate_up_of_few(batch, rows, rows.ids, memory));
        } else {
            GroupedGateUp parts = grouped_gate_up(batch, rows, rows.ids, memory);
            batch.add(std::move(parts.group));
            batch.add(std::move(parts.gate_up));
        }
        batch.add(down_of_few(batch, rows));
        return;
    }
    ExpertsOfMany parts = experts_of_many(batch, rows, rows.ids, memory);
    for (std::vector<Dispatch>* part : {&parts.group, &parts.gate_up, &parts.inner, &parts.down})
        batch.add(std::move(*part));
    batch.add(combine_experts(batch, rows));
}

}  // namespace vkmoe
