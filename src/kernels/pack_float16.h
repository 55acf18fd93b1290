#pragma once

#include "kernels/dispatch.h"
#include "kernels/elementwise.h"
#include "kernels/kernel_table.h"

#include <cstdint>
#include <optional>

namespace vkmoe {

/// float32 rows to float16 rows with a power of two each (layout: kernels/activation.h), rounded to nearest
/// even. The exponent e is that of the largest finite number of the row less 14, at least -126; numbers below
/// 2^-126 may become 0. Infinities and NaNs stay what they are.
struct PackFloat16Args {
    uint64_t input = 0;   ///< float32, n_rows rows input_stride apart; 16-byte aligned
    uint64_t output = 0;  ///< n_rows * float16_row_bytes(n_columns) bytes; 16-byte aligned
    uint32_t n_rows = 0;
    uint32_t n_columns = 0;     ///< a multiple of 32
    uint32_t input_stride = 0;  ///< floats from row to row, a multiple of 4; 0: n_columns
    RowChoice rows;
    std::optional<Path> path;  ///< the very cell, for tests; else by the plan
};

/// Error(kInvalidArgument) for shapes and addresses that do not fit.
Dispatch pack_float16(KernelContext& context, const PackFloat16Args& args);

}  // namespace vkmoe
