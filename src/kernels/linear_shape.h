#pragma once

#include "kernels/kernel_table.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace vkmoe {

/// Bytes of a row of activations as a matrix kernel on this path reads it.
uint64_t activation_row_bytes(Path path, uint64_t n_columns);

/// The path that matrix kernels of this weight type take, and so how their activations must come.
Path linear_path(KernelContext& context, Op op, TensorType type);

/// Error(kInvalidArgument) unless n_columns is a multiple of 32 and of the type's block, and n_rows > 0.
void check_linear_shape(std::string_view what, TensorType type, uint64_t n_rows, uint64_t n_columns);

/// How many weight rows a team of lanes computes at once (matmul/lanes.glsl), and how many teams a workgroup
/// holds.
struct TeamShape {
    uint32_t workgroup_size;
    uint32_t teams;          ///< a workgroup
    uint32_t rows;           ///< a team, for one or two tokens: rows share each load of the activations
    uint32_t most_sums;      ///< of gate and up in one pass
    uint32_t shared_tables;  ///< the specialization constant: 1 or 0
};
TeamShape team_shape(const DevicePlan& plan, Path path);

/// Tokens of a tile of the scalar path's dense kernel for so many tokens: those that take the least work.
uint32_t register_tile_tokens(const DevicePlan& plan, uint32_t n_tokens);

/// Rows of a team of expert_matvec_sum.
uint32_t expert_sum_rows(const DevicePlan& plan, Path path, TensorType type);

/// The most tokens by one row whose sums a team keeps.
uint32_t most_batch_tokens(const DevicePlan& plan, Path path, TensorType type);
/// The largest size up to n_tokens for which kernels in registers have a copy.
uint32_t batch_size_within(uint32_t n_tokens);
/// How matvec splits tokens: into batches of how many.
uint32_t matvec_batch_tokens(const DevicePlan& plan, Path path, TensorType type, uint32_t n_tokens);
/// The most tokens for which it is the kernel to take.
uint32_t most_matvec_tokens(const DevicePlan& plan, Path path, TensorType type);

/// Workgroups that cover n_rows, by teams of rows_per_team.
uint32_t row_groups(const TeamShape& shape, uint32_t n_rows, uint32_t rows_per_team);

/// A tile of a matmul kernel: of matmul/tile.glsl, of matmul/coopmat_tile.glsl on paths with cooperative
/// matrices, or of matmul/register_rows.glsl on the scalar path.
struct MatmulTile {
    std::vector<uint32_t> constants;  ///< the kernel's specialization constants; none on the scalar path
    uint32_t rows = 0;
    uint32_t tokens = 0;
    uint32_t parts = 1;  ///< of the columns, each with workgroups of its own
};
/// The tile for tokens grouped by expert, at most tile_tokens of one: the same for all types of weights, with
/// as many rows whatever tile_tokens is. Error(kUnsupported), here and below, for a path of cooperative
/// matrices that the plan's order leaves out: the device was made without it.
MatmulTile expert_tile(const DevicePlan& plan, Path path, uint32_t tile_tokens = UINT32_MAX);
/// What a tile for one matrix must suit.
struct DenseShape {
    uint32_t n_rows = 0;
    uint32_t n_tokens = 0;
    uint32_t core_count = 0;  ///< 0: the plan's
    uint32_t most_parts = 1;  ///< that the columns may be split into
};
/// Of the plan's tiles for one matrix, with the columns split if they may be, the one that takes the least
/// time. Not for the scalar path.
MatmulTile dense_tile(const DevicePlan& plan, Path path, const DenseShape& shape);
/// Bytes of float32 sums that are enough for the parts of any product whose columns are split; 0 where one
/// core gains nothing by it.
uint64_t split_sums_bytes(const DevicePlan& plan);

}  // namespace vkmoe
