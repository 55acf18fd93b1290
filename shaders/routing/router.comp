// Router logits [n_tokens, n_experts] to the kSlots largest of each token, in falling order, and their weights from the
// softmax over all experts (src/kernels/router.h has the formula). Experts are compared by order_key(), so that ids are
// valid and distinct whatever the logits are; NaNs and infinities reach the weights.
// subgroup: one subgroup a token, its keys in registers: expert i * gl_SubgroupSize + lane is keys[i] of that lane.
// scalar: one invocation a token.
#version 460
#extension GL_GOOGLE_include_directive : require

#include "common/memory.glsl"
#include "common/grid.glsl"
#include "common/order.glsl"
#include "routing/params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint kSlots = 1;
layout(constant_id = 2) const uint kKeysPerLane = 1;  // ceil(n_experts / subgroup size)
layout(push_constant) uniform Push { RouterParams params; };

/// Writes the choice for a slot down.
void store_choice(uint token, uint slot, uint expert) {
    WordsOut(params.ids).at[token * kSlots + slot] = expert;
    if (!is_null(params.counts)) atomicAdd(WordsInOut(params.counts).at[expert], 1u);
}

/// Turns the chosen probabilities into weights and writes them.
void store_weights(uint token, float chosen[kSlots]) {
    float factor = params.scale;
    if (params.renormalize != 0u) {
        float sum = 0.0;
        for (uint s = 0; s < kSlots; ++s) sum += chosen[s];
        factor /= max(sum, params.least_sum);
    }
    FloatsOut weights = FloatsOut(params.weights);
    for (uint s = 0; s < kSlots; ++s) weights.at[token * kSlots + s] = chosen[s] * factor;
}

#ifdef VKMOE_PATH_SCALAR
const uint kMaxExperts = 512;  // kMaxRouterExperts of src/kernels/router.h

void main() {
    uint token = group_index() * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
    if (token >= params.n_tokens) return;
    Floats logits = Floats(advance(params.logits, token, params.n_experts * 4u));

    uint largest_key = 0u;
    for (uint e = 0; e < params.n_experts; ++e) largest_key = max(largest_key, order_key(logits.at[e]));
    float largest = from_order_key(largest_key);
    float total = 0.0;
    for (uint e = 0; e < params.n_experts; ++e) total += exp(logits.at[e] - largest);

    uint taken[kMaxExperts / 32u];
    for (uint i = 0; i < kMaxExperts / 32u; ++i) taken[i] = 0u;
    float chosen[kSlots];
    for (uint s = 0; s < kSlots; ++s) {
        uint best = 0u;
        uint expert = 0u;
        for (uint e = 0; e < params.n_experts; ++e) {
            uint key = (taken[e / 32u] >> (e % 32u) & 1u) == 0u ? order_key(logits.at[e]) : 0u;
            if (key > best) {
                best = key;
                expert = e;
            }
        }
        taken[expert / 32u] |= 1u << (expert % 32u);
        store_choice(token, s, expert);
        chosen[s] = exp(from_order_key(best) - largest) / total;
    }
    store_weights(token, chosen);
}
#else
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require

void main() {
    uint token = group_index() * gl_NumSubgroups + gl_SubgroupID;
    if (token >= params.n_tokens) return;
    Floats logits = Floats(advance(params.logits, token, params.n_experts * 4u));

    uint keys[kKeysPerLane];
    uint lane_best = 0u;
    [[unroll]] for (uint i = 0; i < kKeysPerLane; ++i) {
        uint expert = i * gl_SubgroupSize + gl_SubgroupInvocationID;
        keys[i] = expert < params.n_experts ? order_key(logits.at[expert]) : 0u;
        lane_best = max(lane_best, keys[i]);
    }
    float largest = from_order_key(subgroupMax(lane_best));
    float total = 0.0;
    [[unroll]] for (uint i = 0; i < kKeysPerLane; ++i) {
        if (keys[i] != 0u) total += exp(from_order_key(keys[i]) - largest);
    }
    total = subgroupAdd(total);

    float chosen[kSlots];
    for (uint s = 0; s < kSlots; ++s) {
        // This lane's best, without what was taken in the rounds before; the strict comparison keeps the lower index.
        uint lane_expert = ~0u;
        lane_best = 0u;
        [[unroll]] for (uint i = 0; i < kKeysPerLane; ++i) {
            if (keys[i] > lane_best) {
                lane_best = keys[i];
                lane_expert = i * gl_SubgroupSize + gl_SubgroupInvocationID;
            }
        }
        uint best = subgroupMax(lane_best);
        uint expert = subgroupMin(lane_best == best ? lane_expert : ~0u);
        [[unroll]] for (uint i = 0; i < kKeysPerLane; ++i) {
            if (i * gl_SubgroupSize + gl_SubgroupInvocationID == expert) keys[i] = 0u;
        }
        if (subgroupElect()) store_choice(token, s, expert);
        chosen[s] = exp(from_order_key(best) - largest) / total;
    }
    if (subgroupElect()) store_weights(token, chosen);
}
#endif
