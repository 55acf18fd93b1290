#pragma once

#include "kernels/dispatch.h"
#include "kernels/elementwise.h"

#include <cstdint>
#include <optional>

namespace vkmoe {

/// output[t, d] = residual[t, d] + sum over slots s, in order, of weights[t, s] * expert_output[t, s, d] +
/// sigmoid(shared_gate[t]) * shared_output[t, d]. output may be residual itself.
///
/// The shared expert (one that every token passes, with a gate in Qwen2-MoE, without in DeepSeek) is added
/// along with many tokens' experts, or, with n_slots 0, by itself: where few tokens' experts were summed by
/// expert_matvec_sum. One without a gate needs no combine then: its down projection has a residual.
struct CombineArgs {
    uint64_t expert_output = 0;  ///< float32 [n_tokens, n_slots, n_columns], 16-byte aligned; 0 with n_slots
    uint64_t weights = 0;        ///< float32 [n_tokens, n_slots]; 0: all 1, they went in before the experts
    uint64_t shared_output = 0;  ///< float32 [n_tokens, n_columns], 16-byte aligned; 0: none
    uint64_t shared_gate = 0;    ///< float32 [n_tokens], logits; 0: the shared expert counts in full
    uint64_t residual = 0;       ///< float32 [n_tokens, n_columns], 16-byte aligned; 0: none
    uint64_t output = 0;         ///< float32 [n_tokens, n_columns]; 16-byte aligned
    uint32_t n_tokens = 0;
    uint32_t n_slots = 0;      ///< 0: only with a shared expert
    uint32_t n_columns = 0;    ///< a multiple of 4
    RowChoice rows;            ///< of expert_output: slots whose expert is not there add nothing
    std::optional<Path> path;  ///< the very cell, for tests; else by the plan
};

/// Error(kInvalidArgument) for shapes and addresses that do not fit.
Dispatch combine(KernelContext& context, const CombineArgs& args);

}  // namespace vkmoe
