#pragma once

#include "elementwise/params.h"
#include "kernels/dispatch.h"
#include "kernels/kernel_table.h"

#include <cstdint>
#include <optional>

namespace vkmoe {

/// output[r] = index of the largest of row r, the lowest of those that are equal. Of a row with a NaN or an
/// infinity: kArgmaxBroken plus the index of the first of these, which is outside every vocabulary.
struct ArgmaxArgs {
    uint64_t input =
        0;  ///< float32 [n_rows, n_columns]; read four at a time where 16-byte aligned rows allow
    uint64_t output = 0;  ///< uint32 [n_rows]: may be a token buffer that the next replay embeds
    uint32_t n_rows = 0;
    uint32_t n_columns = 0;       ///< any count from 1
    std::optional<Path> path;     ///< the very cell, for tests; else by the plan
    uint32_t workgroup_size = 0;  ///< 0: by the plan; else a power of two, whole subgroups (tests)
};

/// Error(kInvalidArgument) for shapes and addresses that do not fit.
Dispatch argmax(KernelContext& context, const ArgmaxArgs& args);

}  // namespace vkmoe
