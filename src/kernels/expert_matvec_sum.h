#pragma once

#include "kernels/expert_matvec.h"

namespace vkmoe {

/// The down projection of a few tokens: y[t, r] = residual[t, r] + sum over slots s of weights[t, s] * (W[r,
/// :] . x[t * n_slots + s, :]), W being that of expert ids[t, s]. A slot whose id names no expert adds
/// nothing.
struct ExpertMatvecSumArgs {
    TensorType type = TensorType::kF32;
    ExpertTable experts;
    uint64_t ids = 0;       ///< uint32 [n_tokens, n_slots]
    uint64_t weights = 0;   ///< float32 [n_tokens, n_slots]; 0: all 1, they went in before the experts
    uint64_t x = 0;         ///< [n_tokens * n_slots, n_columns], rows of activation_row_bytes
    uint64_t y = 0;         ///< float32 [n_tokens, n_rows]
    uint64_t residual = 0;  ///< float32 [n_tokens, n_rows], may be y; 0: none
    uint64_t offset = 0;    ///< bytes from a record's start to its matrix
    uint32_t n_rows = 0;
    uint32_t n_columns = 0;
    uint32_t n_tokens = 0;
    uint32_t n_slots = 0;
    std::string_view label = "expert_matvec_sum";
    std::optional<Path> path;  ///< this very cell, for tests; else the plan's best
};

Dispatch expert_matvec_sum(KernelContext& context, const ExpertMatvecSumArgs& args);

}  // namespace vkmoe
