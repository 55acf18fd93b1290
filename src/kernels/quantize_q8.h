#pragma once

#include "kernels/dispatch.h"
#include "kernels/elementwise.h"
#include "kernels/kernel_table.h"

#include <cstdint>
#include <optional>

namespace vkmoe {

/// float32 rows to packed int8 rows (layout: kernels/activation.h). For every 32 numbers: d = max|x| / 127
/// and q = x / d rounded to the nearest, ties to even. A block below 2^-118 in magnitude is all zeros with d
/// = 0; one with an infinity or a NaN has q = 0 and that infinity or NaN as d, so that products of it are not
/// finite.
struct QuantizeQ8Args {
    uint64_t input = 0;   ///< float32, n_rows rows input_stride apart; 16-byte aligned
    uint64_t output = 0;  ///< n_rows * q8_row_bytes(n_columns) bytes; 16-byte aligned
    uint32_t n_rows = 0;
    uint32_t n_columns = 0;     ///< a multiple of 32
    uint32_t input_stride = 0;  ///< floats from row to row, a multiple of 4; 0: n_columns
    std::optional<Path> path;   ///< the very cell, for tests; else by the plan
    RowTuning tuning;
};

/// Error(kInvalidArgument) for shapes and addresses that do not fit.
Dispatch quantize_q8(KernelContext& context, const QuantizeQ8Args& args);

}  // namespace vkmoe
