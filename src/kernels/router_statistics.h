#pragma once

#include "kernels/router.h"

namespace vkmoe {

/// Adds to sums[e] over tokens t the share of expert e: score(logits[t, e]) / sum over all experts of
/// score(logits[t, :]), where the score of a softmax of any kind is exp. So sums over the count of tokens are
/// the mean router probabilities P_e of the Switch auxiliary loss, and for sigmoid scores those of
/// DeepSeek-V3's. Tokens are added in order: the same batches give the same bits. A token with a NaN
/// or an infinite score adds nothing.
struct RouterStatisticsArgs {
    uint64_t logits = 0;  ///< float32 [n_tokens, n_experts]
    uint64_t sums = 0;    ///< in and out: float32 [n_experts, 2], two parts that together make up the sum;
                          ///< 8-byte aligned
    uint32_t n_tokens = 0;
    uint32_t n_experts = 0;  ///< at most kMaxRouterExperts
    RouterScore score = RouterScore::kSoftmax;
    std::optional<Path> path;  ///< the very cell, for tests; else by the plan
};

/// Error(kInvalidArgument) for shapes and addresses that do not fit, kUnsupported for too many experts.
Dispatch router_statistics(KernelContext& context, const RouterStatisticsArgs& args);

}  // namespace vkmoe
