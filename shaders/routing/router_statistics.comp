// Adds up over tokens how much of its probability each gives each expert: sums[e] += score(logits[t, e]) / sum over
// experts of score(logits[t, :]), tokens in order, so that the same batches give the same sums. Sums keep what rounding
// takes from them in a second float. A token with a NaN or an infinite score adds nothing: one would spoil the sums for good.
//
// One workgroup, kTileTokens tokens at a time: first gl_WorkGroupSize / kTileTokens invocations a token find its total,
// then each invocation adds up its experts, invocation + i * gl_WorkGroupSize.
#version 460
#extension GL_GOOGLE_include_directive : require

#include "common/memory.glsl"
#include "common/order.glsl"
#include "routing/params.h"
#include "routing/score.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint kScore = 0;                 // of routing/score.glsl
layout(constant_id = 2) const uint kTileTokens = 1;            // divides the workgroup size
layout(constant_id = 3) const uint kExpertsPerInvocation = 1;  // ceil(n_experts / workgroup size)
layout(push_constant) uniform Push { RouterStatisticsParams params; };

layout(buffer_reference, std430, buffer_reference_align = 8) buffer Sums { vec2 at[]; };

shared uint partial_keys[gl_WorkGroupSize.x];
shared float partials[gl_WorkGroupSize.x];
shared float largest[kTileTokens];  // logit of the token
shared float totals[kTileTokens];   // of its experts' scores; 0: it does not count

const uint kLanes = gl_WorkGroupSize.x / kTileTokens;

const uint kInfinityKey = 0xFF800000u;
const uint kNoCount = 0xFFFFFFFFu;  // above the keys of all numbers

bool is_finite(float x) { return (floatBitsToUint(x) & 0x7FFFFFFFu) < 0x7F800000u; }

Floats row_of(uint token) { return Floats(advance(params.logits, token, params.n_experts * 4u)); }

/// A score that still lacks the division by all of them.
float raw_score(float logit, float most) {
    if (kScore == kScoreSigmoid) return sigmoid(logit);
    if (kScore == kScoreSqrtSoftplus) return sqrt_softplus(logit);
    return exp(logit - most);
}

/// sum += value. sum.y is what the additions so far lost of sum.x (two-sum, Knuth).
void add_exactly(inout vec2 sum, float value) {
    precise float total = sum.x + value;
    precise float of_value = total - sum.x;
    precise float of_sum = total - of_value;
    precise float lost = (sum.x - of_sum) + (value - of_value);
    sum = vec2(total, sum.y + lost);
}

/// Fills largest and totals for the tokens from `first` on.
void weigh_tokens(uint first) {
    uint slot = gl_LocalInvocationIndex / kLanes;
    uint lane = gl_LocalInvocationIndex - slot * kLanes;
    bool has_token = first + slot < params.n_tokens;
    Floats logits = row_of(min(first + slot, params.n_tokens - 1u));

    uint key = 0u;
    if (has_token) {
        for (uint e = lane; e < params.n_experts; e += kLanes) {
            uint logit_key = order_key(logits.at[e]);
            key = max(key, logit_key == kNanKey || logit_key == kInfinityKey ? kNoCount : logit_key);
        }
    }
    partial_keys[gl_LocalInvocationIndex] = key;
    barrier();
    for (uint i = 0; i < kLanes; ++i) key = max(key, partial_keys[slot * kLanes + i]);
    float most = from_order_key(key);
    float total = 0.0;
    if (has_token) {
        for (uint e = lane; e < params.n_experts; e += kLanes) total += raw_score(logits.at[e], most);
    }
    partials[gl_LocalInvocationIndex] = total;
    barrier();
    if (lane == 0u) {
        for (uint i = 1; i < kLanes; ++i) total += partials[slot * kLanes + i];
        largest[slot] = most;
        totals[slot] = key != kNoCount && is_finite(total) ? total : 0.0;
    }
    barrier();
}

void main() {
    vec2 sums[kExpertsPerInvocation];
    for (uint i = 0; i < kExpertsPerInvocation; ++i) {
        uint expert = i * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
        sums[i] = expert < params.n_experts ? Sums(params.sums).at[expert] : vec2(0.0);
    }
    for (uint first = 0; first < params.n_tokens; first += kTileTokens) {
        weigh_tokens(first);
        uint count = min(kTileTokens, params.n_tokens - first);
        for (uint t = 0; t < count; ++t) {
            Floats logits = row_of(first + t);
            for (uint i = 0; i < kExpertsPerInvocation; ++i) {
                uint expert = i * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
                if (expert < params.n_experts && totals[t] > 0.0) {
                    add_exactly(sums[i], raw_score(logits.at[expert], largest[t]) / totals[t]);
                }
            }
        }
    }
    for (uint i = 0; i < kExpertsPerInvocation; ++i) {
        uint expert = i * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
        if (expert < params.n_experts) Sums(params.sums).at[expert] = sums[i];
    }
}
