#pragma once

#include "kernels/dispatch.h"
#include "kernels/elementwise.h"

#include <cstdint>
#include <optional>

namespace vkmoe {

/// output[t, s, :] = weights[t, s] * input[t, :]: the rows that experts read where a weight goes before its
/// expert (Llama 4). The expert kernels then take a row a pair (x_divisor 1), and their sums no weights.
struct WeighRowsArgs {
    uint64_t input = 0;      ///< float32 [n_tokens, n_columns], 16-byte aligned
    uint64_t weights = 0;    ///< float32 [n_tokens, n_slots]
    uint64_t output = 0;     ///< float32 [n_tokens, n_slots, n_columns], 16-byte aligned; 0: not wanted
    uint64_t output_q8 = 0;  ///< packed rows (activation.h), 16-byte aligned; 0: not wanted
    uint32_t n_tokens = 0;
    uint32_t n_slots = 0;
    uint32_t n_columns = 0;     ///< a multiple of 4, with output_q8 of 32
    uint32_t input_stride = 0;  ///< floats from row to row; 0: n_columns
    std::optional<Path> path;   ///< the very cell, for tests; else by the plan
    RowTuning tuning;
};

/// Error(kInvalidArgument) for shapes and addresses that do not fit.
Dispatch weigh_rows(KernelContext& context, const WeighRowsArgs& args);

}  // namespace vkmoe
