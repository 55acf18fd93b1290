#pragma once

#include "kernels/dispatch.h"
#include "kernels/kernel_table.h"

#include <cstdint>
#include <optional>

namespace vkmoe {

/// Where the experts of a layer are: an expert is addressed by its own pointer, wherever its record lies.
struct ExpertTable {
    uint64_t records = 0;  ///< device addresses of the records, uint64 [n_experts]
    uint32_t n_experts = 0;
    MemoryView memory;  ///< covers all records, for hazards
};

/// Each (token, slot) pair p by expert ids[p]: y[p, r] = W[r, :] . x[p / x_divisor, :], or, gated,
/// silu(gate[r, :] . x) * (up[r, :] . x). Pairs whose id names no expert are not written.
struct ExpertMatvecArgs {
    TensorType type = TensorType::kF32;
    ExpertTable experts;
    uint64_t ids = 0;  ///< uint32 [n_pairs]
    uint64_t x = 0;    ///< [n_pairs / x_divisor, n_columns], rows of activation_row_bytes
    uint64_t y = 0;    ///< float32 [n_pairs, n_rows]
    bool gated = false;
    uint64_t first_offset = 0;   ///< bytes from a record's start to its matrix, or to gate
    uint64_t second_offset = 0;  ///< to up
    uint32_t n_rows = 0;
    uint32_t n_columns = 0;
    uint32_t n_pairs = 0;
    uint32_t x_divisor = 1;  ///< slots a token, or 1
    std::string_view label = "expert_matvec";
    std::optional<Path> path;  ///< this very cell, for tests; else the plan's best
};

Dispatch expert_matvec(KernelContext& context, const ExpertMatvecArgs& args);

/// A record offset as kernels take it; Error(kUnsupported) beyond 4 GiB.
uint32_t checked_record_offset(uint64_t offset);

}  // namespace vkmoe
