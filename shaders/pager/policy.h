// Which expert leaves the device's memory, in integers: read by C++ (src/experts/residency.cpp) and GLSL
// (pager/page_resolve.comp), which thereby decide alike. src/experts/POLICY.md says why it is as it is.
//
// The score of an expert holds two estimates of the share of its layer's steps that use it, one that follows the last
// steps (11 bits) and one that remembers more (20 bits), and whether the last step used it (1 bit). Every word is a score.
#ifndef VKMOE_SHADERS_PAGER_POLICY_H
#define VKMOE_SHADERS_PAGER_POLICY_H

#include "common/shared.h"

#ifdef __cplusplus
#define VKMOE_POLICY_FUNCTION constexpr uint32_t
namespace vkmoe {
#else
#define VKMOE_POLICY_FUNCTION uint
#endif

VKMOE_CONSTANT kScoreOne = 65536u;  // a probability of 1

// Of the score, from its highest bits on: the estimates fall by 1/16 and by 1/64 a step.
VKMOE_CONSTANT kFastShift = 4u;
VKMOE_CONSTANT kSlowShift = 6u;
VKMOE_CONSTANT kFastBits = 11u;
VKMOE_CONSTANT kSlowBits = 20u;
VKMOE_CONSTANT kReuseShift = 7u;

// Of 1 / likelihood(): what is used more rarely than in one of 2^14 steps is all the same.
VKMOE_CONSTANT kInverse = 0xFFFFFFFFu >> 2u;
VKMOE_CONSTANT kMaxInverse = 0xFFFFFFu;

// Keys that are none of an expert's: an empty slot's, the first to be taken, and that of an expert which the look-ahead
// wants, which leaves last.
VKMOE_CONSTANT kEmptyKey = 0xFFFFFFFFu;
VKMOE_CONSTANT kWantedKey = 0u;

// What a fetch ahead adds to the threshold, of kScoreOne, and what its use takes away: where 13 of 16 are used, the
// threshold stays.
VKMOE_CONSTANT kFetchedAhead = 832u;
VKMOE_CONSTANT kUsedAhead = 1024u;

/// An average that falls by 2^-shift of itself, rounded up, so that it reaches 0. average: below 2^bits, as is the result.
VKMOE_POLICY_FUNCTION updated_average(VKMOE_UINT average, VKMOE_UINT used, VKMOE_UINT shift, VKMOE_UINT bits) {
    VKMOE_UINT fall = (average + (1u << shift) - 1u) >> shift;
    return average - fall + used * (((1u << bits) - 1u) >> shift);
}

VKMOE_POLICY_FUNCTION fast_estimate(VKMOE_UINT score) { return score >> (kSlowBits + 1u); }
VKMOE_POLICY_FUNCTION slow_estimate(VKMOE_UINT score) { return (score >> 1u) & ((1u << kSlowBits) - 1u); }
/// 1 where the last step of its layer used the expert.
VKMOE_POLICY_FUNCTION was_used(VKMOE_UINT score) { return score & 1u; }

/// The score of an expert after another step of its layer. used: 0 or 1.
VKMOE_POLICY_FUNCTION updated_score(VKMOE_UINT score, VKMOE_UINT used) {
    VKMOE_UINT fast = updated_average(fast_estimate(score), used, kFastShift, kFastBits);
    VKMOE_UINT slow = updated_average(slow_estimate(score), used, kSlowShift, kSlowBits);
    return (fast << (kSlowBits + 1u)) | (slow << 1u) | used;
}

/// Of what steps use, the share that the step before of the same layer used too, of 2^20: after another step, which used
/// n_used experts (at most 2048), n_repeats of them again.
VKMOE_POLICY_FUNCTION updated_reuse(VKMOE_UINT reuse, VKMOE_UINT n_used, VKMOE_UINT n_repeats) {
    VKMOE_UINT share = (n_repeats << kSlowBits) / (n_used > 0u ? n_used : 1u);
    return n_used > 0u ? reuse - (reuse >> kReuseShift) + (share >> kReuseShift) : reuse;
}

/// How likely a step of its layer uses an expert, of 2^20: the mean of both estimates, but for those used by the last step
/// no less than such are used again as a rule.
VKMOE_POLICY_FUNCTION likelihood(VKMOE_UINT score, VKMOE_UINT reuse) {
    VKMOE_UINT mean = ((fast_estimate(score) << (kSlowBits - kFastBits)) + slow_estimate(score)) >> 1u;
    return was_used(score) != 0u && reuse > mean ? reuse : mean;
}

/// Steps (layers with experts) from now until a layer's turn: 1 for the next, n_layers for the present one.
VKMOE_POLICY_FUNCTION steps_until(VKMOE_UINT layer, VKMOE_UINT now, VKMOE_UINT n_layers) {
    return layer > now ? layer - now : layer + n_layers - now;
}

/// steps / likelihood: how long a slot is held for each hit that can be expected at the turn of the expert's layer; the
/// largest leaves first. Steps beyond 255 are all the same. Never kEmptyKey or kWantedKey.
VKMOE_POLICY_FUNCTION key_of_likelihood(VKMOE_UINT likely, VKMOE_UINT steps) {
    VKMOE_UINT wait = kInverse / (likely > 0u ? likely : 1u);
    return (steps < 255u ? steps : 255u) * (wait < kMaxInverse ? wait : kMaxInverse);
}

VKMOE_POLICY_FUNCTION eviction_key(VKMOE_UINT score, VKMOE_UINT steps, VKMOE_UINT reuse) {
    return key_of_likelihood(likelihood(score, reuse), steps);
}

/// The key that an expert of the next layer would have once it is fetched ahead; it must be smaller than its victim's.
/// probability: that the look-ahead gives it, and threshold: that it must have at least, of kScoreOne. kEmptyKey, which no
/// victim's exceeds: not worth fetching.
VKMOE_POLICY_FUNCTION prefetch_key(VKMOE_UINT probability, VKMOE_UINT threshold, VKMOE_UINT score,
                                   VKMOE_UINT reuse) {
    VKMOE_UINT ahead = probability << (kSlowBits - 16u);
    VKMOE_UINT past = likelihood(score, reuse);
    return probability < threshold ? kEmptyKey : key_of_likelihood(ahead > past ? ahead : past, 1u);
}

/// The threshold after another step, which fetched n_fetched experts ahead and used n_used that were fetched ahead
/// before. It finds the probability from which on fetching pays, whatever a model's routers mean by theirs; and it comes
/// down slowly by itself, or one that nothing reaches would stay for ever.
VKMOE_POLICY_FUNCTION updated_threshold(VKMOE_UINT threshold, VKMOE_UINT n_fetched, VKMOE_UINT n_used) {
    VKMOE_UINT risen = threshold + n_fetched * kFetchedAhead;
    VKMOE_UINT fall = n_used * kUsedAhead + 1u;
    VKMOE_UINT left = risen > fall ? risen - fall : 0u;
    return left < kScoreOne ? left : kScoreOne;
}

#ifdef __cplusplus
}  // namespace vkmoe
#endif
#undef VKMOE_POLICY_FUNCTION

#endif
