#pragma once

#include "kernels/grid.h"

#include <cstdint>
#include <optional>
#include <vector>

/// What the kernels over rows share on the host: argument checks and layouts.

namespace vkmoe {

/// How a row kernel is laid out over invocations; zeros: by the plan. Tests set it to reach every layout on
/// one device.
struct RowTuning {
    uint32_t workgroup_size = 0;   ///< a whole number of subgroups, a multiple of lanes_per_block
    uint32_t lanes_per_block = 0;  ///< invocations that share a block of 32: 1, 2, 4 or 8, at most a subgroup
};

/// Which rows a kernel computes: all, or those of pairs whose expert is there.
struct RowChoice {
    uint64_t ids = 0;        ///< uint32 [n_rows]; 0: all rows
    uint32_t n_experts = 0;  ///< a row whose id is this or more stays as it was
};

/// Error(kInvalidArgument) that names op and argument when the address is 0 or not a multiple of alignment
/// bytes.
void require_address(Op op, const char* argument, uint64_t address, uint64_t alignment);
/// The same, but 0 is allowed.
void require_optional_address(Op op, const char* argument, uint64_t address, uint64_t alignment);
/// Error(kInvalidArgument) when value is 0 or not a multiple of unit.
void require_multiple(Op op, const char* argument, uint32_t value, uint32_t unit);

/// Error(kInvalidArgument) unless a kernel that writes rows as float32, as packed int8 (activation.h), or
/// both can do so: output and output_q8, of which one may be 0, and rows in whole vectors, packed ones in
/// whole blocks.
void require_row_outputs(Op op, uint64_t output, uint64_t output_q8, uint32_t n_columns);

/// From here on a subgroup is taken for a real GPU's: neighbouring lanes then share a block, so that they
/// read and write neighbouring words, and one row gets many subgroups. The narrow ones of CPU devices gain
/// nothing from either and pay for each shuffle and barrier.
inline constexpr uint32_t kWideSubgroup = 16;

/// Invocations for a kernel that goes through a row of n_items in one workgroup: the plan's, doubled up to
/// `most` while there is work for them, on devices with wide subgroups.
uint32_t wide_workgroup(const Device& device, uint64_t n_items, uint32_t most);

/// Specialization constants 0 and 1 of a row kernel.
struct RowLayout {
    uint32_t workgroup_size = 0;
    uint32_t lanes_per_block = 0;
    std::vector<uint32_t> constants() const { return {workgroup_size, lanes_per_block}; }
    /// Invocations that a row of n_columns keeps busy: each has 32 / lanes_per_block columns.
    uint64_t items(uint32_t n_columns) const { return uint64_t{n_columns} * lanes_per_block / 32; }
};

/// The layout by tuning, where it says so, else workgroup_size (the plan's on the scalar path) and lanes by
/// the device. packs: int8 rows are written; without them an invocation takes one vec4 at a time.
/// Error(kInvalidArgument) for a tuning that the device or the path cannot do.
RowLayout row_layout(const KernelContext& context, const KernelBinary& kernel, const RowTuning& tuning,
                     uint32_t workgroup_size, bool packs);

/// The kernel of op at the wished path, or the plan's choice.
const KernelBinary& find_kernel(KernelContext& context, Op op, std::optional<Path> path,
                                TensorType type = TensorType::kF32);

/// Bytes of n_rows rows of n_columns floats that begin stride floats apart.
uint64_t strided_bytes(uint32_t n_rows, uint32_t n_columns, uint32_t stride);

/// Floats from row to row: stride, or n_columns where it is 0. Error(kInvalidArgument) when rows would
/// overlap or begin off a 16-byte boundary.
uint32_t checked_stride(Op op, const char* argument, uint32_t stride, uint32_t n_columns);

}  // namespace vkmoe
