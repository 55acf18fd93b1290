#pragma once

#include "kernels/expert_matvec.h"
#include "kernels/group_routes.h"

#include <initializer_list>

namespace vkmoe {

/// The experts' matrices for many tokens. Each pair p (token, slot) by expert ids[p]: y[p, r] = W[r, :] . x[p
/// / x_divisor,
/// :], for one matrix, or for two of one shape and type (gate and up) with a result each.
struct ExpertMatmulArgs {
    TensorType type = TensorType::kF32;
    ExpertTable experts;
    uint64_t ids = 0;              ///< uint32 [n_pairs]
    GroupedRoutes grouped;         ///< of group_routes with expert_tile_tokens; unused on the scalar path
    bool second_dispatch = false;  ///< which of grouped.arguments
    uint64_t x = 0;                ///< [n_pairs / x_divisor, n_columns], rows of activation_row_bytes
    uint64_t first_y = 0;          ///< float32 [n_pairs, n_rows]
    uint64_t second_y = 0;         ///< float32 [n_pairs, n_rows]; 0: only one matrix
    uint64_t first_offset = 0;     ///< bytes from a record's start to the matrix
    uint64_t second_offset = 0;
    uint32_t n_rows = 0;
    uint32_t n_columns = 0;
    uint32_t n_pairs = 0;
    uint32_t x_divisor = 1;  ///< slots a token, or 1
    /// Rows of the grid for one matrix, as group_routes was told; 0: expert_tile_rows of this one.
    uint32_t matrix_tiles = 0;
    std::string_view label = "expert_matmul";
    std::optional<Path> path;  ///< this very cell, for tests; else the plan's best
};

/// One dispatch; on the scalar path one a matrix.
std::vector<Dispatch> expert_matmul(KernelContext& context, const ExpertMatmulArgs& args);

/// What group_routes must be told: tile_tokens, for all expert_matmul that use the grouping, by their paths
/// (linear_path), and the rows of a grid over a matrix of n_rows weight rows on one of these.
uint32_t expert_tile_tokens(const DevicePlan& plan, std::initializer_list<Path> paths);
uint32_t expert_tile_rows(const DevicePlan& plan, Path path, uint32_t n_rows);

}  // namespace vkmoe
