#pragma once

#include "kernels/kernel_table.h"

#include <array>
#include <cstdint>

/// Launch geometry. Shaders find their place in a grid by common/grid.glsl and drop what lies beyond their
/// work.

namespace vkmoe {

/// How many pieces of `size` cover `value`.
constexpr uint32_t divide_up(uint32_t value, uint32_t size) {
    return value / size + (value % size != 0);
}

/// The workgroups of a grid of n_columns by n_rows, folded into the sizes that the device takes.
/// Error(kUnsupported) where it takes fewer.
std::array<uint32_t, 3> folded_grid(const KernelContext& context, Op op, uint64_t n_columns,
                                    uint64_t n_rows = 1);

/// The grid of one row for kernels where an invocation does one of n_items pieces of work.
/// Error(kInvalidArgument) where their index does not fit 32 bits.
std::array<uint32_t, 3> item_grid(const KernelContext& context, Op op, uint64_t n_items,
                                  uint32_t workgroup_size);

}  // namespace vkmoe
