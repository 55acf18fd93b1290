#pragma once

#include "kernels/dispatch.h"
#include "kernels/kernel_table.h"

#include <cstdint>
#include <optional>

namespace vkmoe {

/// output[t, :] = scale * decoded table row tokens[t]. A token outside [0, n_vocabulary) gives a row of
/// zeros.
struct EmbedRowsArgs {
    TensorType type = TensorType::kF32;  ///< of the table
    uint64_t table = 0;   ///< n_vocabulary rows of n_columns in the device layout of type; 16-byte aligned
    uint64_t tokens = 0;  ///< int32 [n_tokens]
    uint64_t output = 0;  ///< float32 [n_tokens, n_columns]; 16-byte aligned
    uint32_t n_tokens = 0;
    uint32_t n_columns = 0;  ///< a multiple of 32 and of the type's block
    uint32_t n_vocabulary = 0;
    float scale = 1;
    std::optional<Path> path;  ///< the very cell, for tests; else by the plan
};

/// Error(kInvalidArgument) for shapes and addresses that do not fit, kUnsupported for a type without a
/// kernel.
Dispatch embed_rows(KernelContext& context, const EmbedRowsArgs& args);

}  // namespace vkmoe
