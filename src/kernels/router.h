#pragma once

#include "kernels/dispatch.h"
#include "kernels/kernel_table.h"

#include <cstdint>
#include <optional>

namespace vkmoe {

inline constexpr uint32_t kMaxRouterExperts = 512;
inline constexpr uint32_t kMaxRouterSlots = 32;

/// For each token the n_slots experts of largest logits, in falling order, the lower index first on ties,
/// with weights from the softmax over all experts: probability * scale, or with renormalize probability /
/// max(sum of the chosen probabilities, floor) * scale. The latter with floor 0 is also the softmax over the
/// chosen alone. A NaN logit makes the token's weights NaN; its ids stay in range and differ from one
/// another, and an expert with a NaN logit is chosen only after all others.
struct RouterArgs {
    uint64_t logits = 0;   ///< float32 [n_tokens, n_experts]
    uint64_t ids = 0;      ///< out: uint32 [n_tokens, n_slots]
    uint64_t weights = 0;  ///< out: float32 [n_tokens, n_slots]
    uint64_t counts = 0;   ///< uint32 [n_experts], raised by one for each route to an expert; 0: not wanted
    uint32_t n_tokens = 0;
    uint32_t n_experts = 0;  ///< at most kMaxRouterExperts
    uint32_t n_slots = 0;    ///< experts a token (k): at most kMaxRouterSlots and n_experts
    bool renormalize = false;
    float floor = 0;  ///< least value of the renormalizing sum
    float scale = 1;
    std::optional<Path> path;  ///< the very cell, for tests; else by the plan
};

/// Error(kInvalidArgument) for shapes and addresses that do not fit, kUnsupported for too many experts or
/// slots.
Dispatch router(KernelContext& context, const RouterArgs& args);

}  // namespace vkmoe
