#pragma once

#include "kernels/dispatch.h"
#include "kernels/elementwise.h"
#include "kernels/kernel_table.h"

#include <cstdint>
#include <optional>

namespace vkmoe {

/// y = x / sqrt(mean(x^2) + epsilon) * weight for each row, as float32, as packed int8, or as both. output
/// may be the input itself where the rows have the same stride.
struct RmsNormArgs {
    uint64_t input = 0;      ///< float32, n_rows rows input_stride apart; 16-byte aligned
    uint64_t weight = 0;     ///< float32 [n_columns], 16-byte aligned; 0: all ones
    uint64_t output = 0;     ///< float32 [n_rows, n_columns], 16-byte aligned; 0: not wanted
    uint64_t output_q8 = 0;  ///< n_rows * q8_row_bytes(n_columns) bytes, 16-byte aligned; 0: not wanted
    uint32_t n_rows = 0;
    uint32_t n_columns = 0;     ///< a multiple of 4; of 32 where output_q8 is wanted
    uint32_t input_stride = 0;  ///< floats from row to row, a multiple of 4; 0: n_columns
    float epsilon = 1e-6f;
    std::optional<Path> path;  ///< the very cell, for tests; else by the plan
    RowTuning tuning;
};

/// Error(kInvalidArgument) for shapes and addresses that do not fit.
Dispatch rms_norm(KernelContext& context, const RmsNormArgs& args);

}  // namespace vkmoe
