#pragma once

#include "kernels/dispatch.h"
#include "kernels/kernel_table.h"

#include <cstdint>
#include <optional>

namespace vkmoe {

/// y[t, r] = weights[r, :] . x[t, :] (+ residual[t, r]).
struct MatmulArgs {
    TensorType type = TensorType::kF32;
    uint64_t weights = 0;   ///< [n_rows, n_columns], at a multiple of row_alignment(type)
    uint64_t x = 0;         ///< [n_tokens, n_columns], rows of activation_row_bytes(path, n_columns)
    uint64_t y = 0;         ///< float32 [n_tokens, n_rows]
    uint64_t residual = 0;  ///< float32 [n_tokens, n_rows], may be y; 0: none
    uint32_t n_rows = 0;
    uint32_t n_columns = 0;
    uint32_t n_tokens = 0;
    /// Where matmul may keep the sums of parts of the columns, of split_sums_bytes; empty: it makes no parts.
    Allocation split_sums;
    std::string_view label = "matmul";
    std::optional<Path> path;    ///< this very cell, for tests; else the plan's best
    uint32_t core_count = 0;     ///< for which tiles are chosen, for tests; 0: the plan's
    bool shared_tables = false;  ///< whatever the plan says, for tests: see RegisterPlan
};

/// The most tokens that matvec takes at once: their sums are in registers.
inline constexpr uint32_t kMaxMatvecTokens = 16;
/// On the scalar path, on which each invocation holds all sums of its rows.
inline constexpr uint32_t kMaxScalarTokens = 8;

/// Sets the push constants of a matvec or matmul kernel on this path, and what it reads and writes. y: of as
/// many rows a token as the columns have parts.
void bind_matmul(KernelContext& context, Dispatch& dispatch, const MatmulArgs& args, Path path,
                 uint32_t n_parts = 1);

/// For at most kMaxMatvecTokens tokens.
Dispatch matvec(KernelContext& context, const MatmulArgs& args);

}  // namespace vkmoe
