#pragma once

#include "kernels/kernel_table.h"

#include <cstdint>
#include <string_view>

namespace vkmoe {

/// Rows of activations as a matrix kernel on this path reads them: packed int8 on kDot4, float32 elsewhere.
uint64_t activation_row_bytes(Path path, uint64_t n_columns);

/// The path that matrix kernels of this weight type take, and so how their activations must come.
Path linear_path(KernelContext& context, Op op, TensorType type);

/// Error(kInvalidArgument) unless n_columns is a multiple of 32 and of the type's block, and n_rows > 0.
void check_linear_shape(std::string_view what, TensorType type, uint64_t n_rows, uint64_t n_columns);

/// How many weight rows a team of lanes computes at once (matmul/lanes.glsl), and how many teams a workgroup
/// holds.
struct TeamShape {
    uint32_t workgroup_size;
    uint32_t teams;  ///< a workgroup
};
TeamShape team_shape(const DevicePlan& plan, Path path);

/// Groups in x that cover n_rows, by teams of rows_per_team; Error(kUnsupported) beyond 65535.
uint32_t row_groups(const TeamShape& shape, uint32_t n_rows, uint32_t rows_per_team);

/// The tile of matmul/tile.glsl: (rows * row_lanes) weight rows by (tokens * token_lanes) tokens. One shape
/// for all types, so that one grouping of routes serves matrices of different types.
struct TileShape {
    uint32_t workgroup_size;
    uint32_t rows;
    uint32_t tokens;
    uint32_t row_lanes;
    uint32_t tile_rows() const { return rows * row_lanes; }
    uint32_t tile_tokens() const { return tokens * (workgroup_size / row_lanes); }
};
TileShape tile_shape(const DevicePlan& plan);

}  // namespace vkmoe
