// Which expert leaves the device's memory, in integers: read by C++ (src/experts/residency.cpp) and GLSL
// (pager/page_resolve.comp), which thereby decide alike.
//
// The score of an expert is the share of its layer's recent steps that used it, kScoreOne being all of them.
#ifndef VKMOE_SHADERS_PAGER_POLICY_H
#define VKMOE_SHADERS_PAGER_POLICY_H

#include "common/shared.h"

#ifdef __cplusplus
#define VKMOE_POLICY_FUNCTION constexpr uint32_t
namespace vkmoe {
#else
#define VKMOE_POLICY_FUNCTION uint
#define constexpr const
#endif

constexpr VKMOE_UINT kScoreOne = 65536u;
constexpr VKMOE_UINT kScoreShift = 4u;

/// The score of an expert after another step of its layer. used: 0 or 1.
VKMOE_POLICY_FUNCTION updated_score(VKMOE_UINT score, VKMOE_UINT used) {
    return score - (score >> kScoreShift) + used * (kScoreOne >> kScoreShift);
}

/// Steps (layers with experts) from now until a layer's turn: 1 for the next, n_layers for the present one.
VKMOE_POLICY_FUNCTION steps_until(VKMOE_UINT layer, VKMOE_UINT now, VKMOE_UINT n_layers) {
    return layer > now ? layer - now : layer + n_layers - now;
}

/// How far away the next use of an expert is expected; what is largest leaves first. Never 0xFFFFFFFF, which stands for
/// an empty slot, and never 0, which stands for an expert that the look-ahead wants.
VKMOE_POLICY_FUNCTION eviction_key(VKMOE_UINT score, VKMOE_UINT steps, VKMOE_UINT n_layers) {
    return steps + n_layers * (kScoreOne / (score > 0u ? score : 1u));
}

/// The key that an expert of the next layer would have once it is fetched ahead; it must be smaller than its victim's.
/// probability: that the look-ahead gives it, of kScoreOne. 0xFFFFFFFF: not worth fetching.
VKMOE_POLICY_FUNCTION prefetch_key(VKMOE_UINT probability, VKMOE_UINT score, VKMOE_UINT n_layers) {
    return eviction_key(probability > score ? probability : score, 1u, n_layers);
}

#ifdef __cplusplus
}  // namespace vkmoe
#else
#undef constexpr
#endif
#undef VKMOE_POLICY_FUNCTION

#endif
