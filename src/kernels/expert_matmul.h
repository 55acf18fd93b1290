#pragma once

#include "kernels/expert_matvec.h"
#include "kernels/group_routes.h"

#include <initializer_list>

namespace vkmoe {

/// The experts' matrices for many tokens, each pair p (token, slot) by its expert: y[p, r] = W[r, :] .
/// x[p / x_divisor, :], for one matrix, or for two of one shape and type (gate and up): with a result each,
/// or gated, first_y[p, r] = silu(gate[r, :] . x) * (up[r, :] . x).
struct ExpertMatmulArgs {
    TensorType type = TensorType::kF32;
    ExpertTable experts;
    GroupedRoutes grouped;      ///< of group_routes
    uint32_t tile_tokens = 0;   ///< of grouped: that of choose_experts
    bool in_registers = false;  ///< by the kernels of expert_matvec, in tiles
    uint32_t dispatch = 0;      ///< which of grouped.arguments
    uint64_t x = 0;             ///< [n_pairs / x_divisor, n_columns], rows of activation_row_bytes
    uint64_t first_y = 0;       ///< float32 [n_pairs, n_rows]
    uint64_t second_y = 0;      ///< float32 [n_pairs, n_rows]; 0: only one result
    bool gated = false;         ///< where expert_matmul_gates, or in_registers
    uint64_t first_offset = 0;  ///< bytes from a record's start to the matrix
    uint64_t second_offset = 0;
    uint32_t n_rows = 0;
    uint32_t n_columns = 0;
    uint32_t n_pairs = 0;
    uint32_t x_divisor = 1;  ///< slots a token, or 1
    std::string_view label = "expert_matmul";
    std::optional<Path> path;  ///< this very cell, for tests; else the plan's best
};

Dispatch expert_matmul(KernelContext& context, const ExpertMatmulArgs& args);

/// Whether the kernels of a path can do gate, up and the activation in one.
bool expert_matmul_gates(const DevicePlan& plan, Path path);

/// The tokens of a tile that group_routes must be told, for all expert_matmul that use the grouping and are
/// not in_registers, by their paths (linear_path) and the pairs that an expert gets on average.
uint32_t expert_tile_tokens(const DevicePlan& plan, std::initializer_list<Path> paths, uint32_t n_pairs,
                            uint32_t n_experts);

/// A dispatch of expert_matmul, as far as its grid depends on it.
struct ExpertTiles {
    Path path = Path::kScalar;
    bool in_registers = false;
    bool gated = false;
    uint32_t n_matrices = 1;  ///< gated: 2
    uint32_t n_rows = 0;      ///< of each
};
/// Its grid, for group_routes.
TileGrid expert_tile_grid(const DevicePlan& plan, const ExpertTiles& tiles);

}  // namespace vkmoe
