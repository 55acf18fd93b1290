#pragma once

#include "kernels/dispatch.h"
#include "kernels/elementwise.h"
#include "kernels/kernel_table.h"

#include <cstdint>
#include <optional>

namespace vkmoe {

/// silu(gate) * up, silu(x) = x / (1 + exp(-x)), as float32, as packed int8, or as both. gate and up may lie
/// interleaved in one buffer (up = gate + 4 * n_columns, both strides 2 * n_columns). output may be gate or
/// up itself where the rows have the same stride.
struct SwigluArgs {
    uint64_t gate = 0;       ///< float32, n_rows rows gate_stride apart; 16-byte aligned
    uint64_t up = 0;         ///< float32, n_rows rows up_stride apart; 16-byte aligned
    uint64_t output = 0;     ///< float32 [n_rows, n_columns], 16-byte aligned; 0: not wanted
    uint64_t output_q8 = 0;  ///< n_rows * q8_row_bytes(n_columns) bytes, 16-byte aligned; 0: not wanted
    uint32_t n_rows = 0;
    uint32_t n_columns = 0;    ///< a multiple of 4; of 32 where output_q8 is wanted
    uint32_t gate_stride = 0;  ///< floats from row to row, a multiple of 4; 0: n_columns
    uint32_t up_stride = 0;    ///< likewise
    RowChoice rows;
    std::optional<Path> path;  ///< the very cell, for tests; else by the plan
    RowTuning tuning;
};

/// Error(kInvalidArgument) for shapes and addresses that do not fit.
Dispatch swiglu(KernelContext& context, const SwigluArgs& args);

}  // namespace vkmoe
