#pragma once

#include "kernels/kernel_table.h"

#include <array>
#include <cstdint>
#include <optional>

/// What the kernels over rows share on the host: argument checks and launch geometry.

namespace vkmoe {

/// How a row kernel is laid out over invocations; zeros: by the plan. Tests set it to reach every layout on
/// one device.
struct RowTuning {
    uint32_t workgroup_size = 0;   ///< a whole number of subgroups, a multiple of 8
    uint32_t lanes_per_block = 0;  ///< invocations that share a block of 32: 1, 2, 4 or 8, at most a subgroup
};

/// Error(kInvalidArgument) that names op and argument when the address is 0 or not a multiple of alignment
/// bytes.
void require_address(Op op, const char* argument, uint64_t address, uint64_t alignment);
/// The same, but 0 is allowed.
void require_optional_address(Op op, const char* argument, uint64_t address, uint64_t alignment);
/// Error(kInvalidArgument) when value is 0 or not a multiple of unit.
void require_multiple(Op op, const char* argument, uint32_t value, uint32_t unit);

/// n groups as a grid: in x, and beyond 65535 in y too. Shaders get the index back with group_index() of
/// common/grid.glsl and must drop what lies at n and beyond.
std::array<uint32_t, 3> linear_grid(uint64_t n);

/// The kernel of op at the wished path, or the plan's choice.
const KernelBinary& find_kernel(KernelContext& context, Op op, std::optional<Path> path,
                                TensorType type = TensorType::kF32);

/// Bytes of n_rows rows of n_columns floats that begin stride floats apart.
uint64_t strided_bytes(uint32_t n_rows, uint32_t n_columns, uint32_t stride);

/// Floats from row to row: stride, or n_columns where it is 0. Error(kInvalidArgument) when rows would
/// overlap or begin off a 16-byte boundary.
uint32_t checked_stride(Op op, const char* argument, uint32_t stride, uint32_t n_columns);

}  // namespace vkmoe
