#pragma once

#include "model/batch_builder.h"

#include <array>

namespace vkmoe {

/// The parts that the experts' computation is made of, so that it can be done in one go or in pieces, as
/// their records come by. Every pair (token, slot) is computed on its own, so that no result depends on the
/// pieces.

/// Some tokens of a batch at the experts of a layer, and what they read: rows of the whole batch.
struct ExpertRows {
    const Experts& experts;
    ExpertChoice choice;  ///< for all of the batch
    uint64_t ids = 0;     ///< uint32 [batch, n_experts_used]: what the router chose
    uint64_t x_gate = 0;  ///< the normed residual stream as gate's kernels read it, [batch, n_embedding]
    uint64_t x_up = 0;    ///< and up's
    uint32_t first_token = 0;
    uint32_t n_tokens = 0;
};

/// Few tokens, each pair by itself. gate and up of those pairs whose id in `ids`, uint32 [rows.n_tokens,
/// n_experts_used], names an expert; with the activation where they are of one type. memory: what the
/// dispatches wait for, in place of the table's. These are one or two dispatches over one grid.
std::vector<Dispatch> gate_up_of_few(const BatchBuilder& batch, const ExpertRows& rows, uint64_t ids,
                                     MemoryView memory);
/// What comes after all pairs have their gate and up: stream += the weighted sum of the experts' outputs.
std::vector<Dispatch> down_of_few(BatchBuilder& batch, const ExpertRows& rows);

/// All tokens of the batch, grouped by expert, so that each expert's weights are read once for a tile of
/// them.
struct GroupedGateUp {
    std::vector<Dispatch> group;
    std::vector<Dispatch> gate_up;
    bool gated = false;  ///< the activation is done
};
struct ExpertsOfMany : GroupedGateUp {
    std::vector<Dispatch> inner;  ///< the activation
    std::vector<Dispatch> down;   ///< into the workspace's expert_output
};
ExpertsOfMany experts_of_many(BatchBuilder& batch, const ExpertRows& rows, uint64_t ids, MemoryView memory);
/// stream += the weighted sum of expert_output.
Dispatch combine_experts(const BatchBuilder& batch, const ExpertRows& rows);
/// All of that in one go, for the whole batch and experts that are all there.
void add_experts(BatchBuilder& batch, const ExpertRows& rows);

/// silu(gate) * up from the workspace for rows [first_row, first_row + n_rows), in the layout `reader`: where
/// that is, and the dispatches that make it. choice: its ids begin at first_row's.
struct Inner {
    Rows rows;
    std::vector<Dispatch> dispatches;
};
Inner swiglu_rows(const BatchBuilder& batch, uint32_t first_row, uint32_t n_rows, uint32_t n_columns,
                  ActivationLayout reader, RowChoice choice = {});

}  // namespace vkmoe
