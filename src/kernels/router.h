#pragma once

#include "kernels/dispatch.h"
#include "kernels/kernel_table.h"

#include <cstdint>
#include <optional>

namespace vkmoe {

inline constexpr uint32_t kMaxRouterExperts = 512;
inline constexpr uint32_t kMaxRouterSlots = 32;
inline constexpr uint32_t kMaxRouterGroups = 32;

/// What a router makes of the logit x of an expert. Shaders have these numbers too (routing/score.glsl).
enum class RouterScore : uint32_t {
    /// exp(x) / sum over all experts of exp. Switch, Mixtral, Qwen, OLMoE, DeepSeek-V2, ERNIE 4.5.
    kSoftmax = 0,
    /// exp(x) / sum over the chosen experts of exp; the choice goes by x itself. gpt-oss, Granite, JetMoE.
    kSoftmaxOfChosen = 1,
    /// 1 / (1 + exp(-x)). DeepSeek-V3, GLM 4.5, dots1, MiniMax-M2, LFM2, Llama 4.
    kSigmoid = 2,
    /// sqrt(log(1 + exp(x))). DeepSeek-V4.
    kSqrtSoftplus = 3,
    /// For each slot in turn the softmax over those experts not chosen yet whose x is near the best of
    /// them, m: m - x <= 2 jitter max(|x|, m). Phi-3.5-MoE, by the inference rule of GRIN's SparseMixer.
    kSparseMixer = 4,
};

/// What a group of experts is judged by: its best score (DeepSeek-V2), or the sum of its two best (V3).
enum class GroupScore : uint8_t { kBest, kTopTwoSum };

/// For each token n_slots experts, best first, and their weights.
///
/// Choice. Experts are compared by score + bias; where there is no bias and no sum of two scores to be
/// formed, by their logits, which is the same order without its roundings. With groups, [0, n_experts /
/// n_groups), ..., only experts of the n_groups_used best groups can be chosen. The lower index goes first
/// on ties, of groups too. Or the experts come from a table by token id, as DeepSeek-V4's first layers have
/// it.
///
/// Weights. The scores, without the bias; with renormalize each divided by max(their sum + sum_offset,
/// floor); then times scale, then times the expert's own factor (Gemma 4). A softmax over all experts that is
/// renormalized with floor 0 is also the softmax over the chosen alone, while there is no bias. All the
/// chosen scores may underflow to 0: what is 0 / 0 by the formula is NaN.
///
/// NaN. A NaN logit makes all the token's weights NaN; its ids stay in range and differ from one another, and
/// an expert with a NaN logit or bias is chosen only after all others of its group, a group with a NaN score
/// after all other groups. Infinite logits give what the formulas give in IEEE arithmetic.
///
/// A bias that a model adds to the logits themselves (gpt-oss) is part of the matrix product before this.
struct RouterArgs {
    uint64_t logits = 0;   ///< float32 [n_tokens, n_experts]
    uint64_t ids = 0;      ///< out: uint32 [n_tokens, n_slots]
    uint64_t weights = 0;  ///< out: float32 [n_tokens, n_slots]
    uint64_t counts = 0;   ///< uint32 [n_experts], raised by one for each route to an expert; 0: not wanted
    uint32_t n_tokens = 0;
    uint32_t n_experts = 0;  ///< at most kMaxRouterExperts
    uint32_t n_slots = 0;    ///< experts a token (k): at most kMaxRouterSlots and the experts of used groups
    RouterScore score = RouterScore::kSoftmax;
    uint64_t selection_bias = 0;  ///< float32 [n_experts]; 0: none
    uint32_t n_groups = 1;  ///< divides n_experts; at most kMaxRouterGroups; kTopTwoSum wants two a group
    uint32_t n_groups_used = 1;
    GroupScore group_score = GroupScore::kTopTwoSum;
    bool renormalize = false;
    float sum_offset = 0;        ///< 1e-20 in DeepSeek-V3, 1e-6 in LFM2
    float floor = 0;             ///< least value of the renormalizing sum
    float scale = 1;             ///< routed_scaling_factor
    uint64_t expert_scales = 0;  ///< float32 [n_experts]; 0: none
    float jitter = 0;            ///< of kSparseMixer, which knows neither bias, groups nor table
    uint64_t table = 0;   ///< uint32 [n_table_rows, n_slots], without bias and groups; 0: experts are chosen.
                          ///< An id that names no expert is passed on, with weight 0
    uint64_t tokens = 0;  ///< uint32 [n_tokens], rows of the table; one beyond its end names no experts
    uint32_t n_table_rows = 0;
    std::optional<Path> path;  ///< the very cell, for tests; else by the plan
};

/// Error(kInvalidArgument) for shapes, addresses and options that do not fit, kUnsupported for too many
/// experts, slots or groups.
Dispatch router(KernelContext& context, const RouterArgs& args);

}  // namespace vkmoe
