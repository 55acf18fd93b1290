// Router logits [n_tokens, n_experts] to kSlots experts of each token and their weights: src/kernels/router.h says by
// which rules. Experts are compared by order_key(), so that ids are valid and distinct whatever the logits are; NaNs and
// infinities reach the weights.
// subgroup: one subgroup a token, its keys in registers: expert i * gl_SubgroupSize + lane is keys[i] of that lane.
// scalar: one invocation a token.
#version 460
#extension GL_GOOGLE_include_directive : require

#include "common/memory.glsl"
#include "common/grid.glsl"
#include "common/order.glsl"
#include "routing/params.h"
#include "routing/score.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint kSlots = 1;
layout(constant_id = 2) const uint kKeysPerLane = 1;    // ceil(n_experts / subgroup size)
layout(constant_id = 3) const uint kScore = 0;          // of routing/score.glsl
layout(constant_id = 4) const uint kByScore = 0;        // 1: experts are chosen by score + bias, 0: by their logits
layout(constant_id = 5) const uint kGroups = 1;         // groups that experts are in, at most 32
layout(constant_id = 6) const uint kGroupTopTwo = 0;    // 1: a group counts as the sum of its two best, 0: as its best
layout(constant_id = 7) const uint kTable = 0;          // 1: experts are not chosen but looked up by token
layout(constant_id = 8) const uint kExpertScales = 0;   // 1: weights are multiplied by numbers of their experts
layout(push_constant) uniform Push { RouterParams params; };

/// What a token's scores depend on beside the logits themselves.
struct Row {
    float largest;  // logit, where there is a softmax over all experts
    float total;    // of exp(logit - largest)
    bool is_nan;    // so all weights are: said here, for not every driver's exp() passes a NaN on
};

/// Whether inf - inf is among a softmax's differences to its largest logit.
bool is_infinite(float x) { return (floatBitsToUint(x) & 0x7FFFFFFFu) == 0x7F800000u; }

/// The score by which an expert is chosen, before the bias; and what its weight is made of.
float score_of(float logit, Row row) {
    if (kScore == kScoreSigmoid) return sigmoid(logit);
    if (kScore == kScoreSqrtSoftplus) return sqrt_softplus(logit);
    if (kScore == kScoreSoftmax) return exp(logit - row.largest) / row.total;
    return logit;  // softmax of the chosen: store_weights() goes on from here
}

uint biased_key(float logit, uint expert, Row row) {
    float score = score_of(logit, row);
    if (!is_null(params.bias)) score += Floats(params.bias).at[expert];
    return order_key(score);
}

uint group_key(uint best, uint second) {
    return kGroupTopTwo == 0u ? best : order_key(from_order_key(best) + from_order_key(second));
}

/// A bit for each group that experts may be chosen from: the best, the lower index first where they are equal.
uint used_groups(uint keys[kGroups]) {
    uint used = 0u;
    [[dont_unroll]] for (uint g = 0; g < kGroups; ++g) {
        uint better = 0u;
        [[dont_unroll]] for (uint h = 0; h < kGroups; ++h) {
            if (keys[h] > keys[g] || (keys[h] == keys[g] && h < g)) ++better;
        }
        if (better < params.n_groups_used) used |= 1u << g;
    }
    return used;
}

/// Whether the SparseMixer's softmax at a choice counts an expert that is still to be had.
bool is_near(float logit, float best) { return !(best - logit > params.two_jitter * max(abs(logit), best)); }

/// The table's expert; ~0 where it has none for this token.
uint looked_up(uint token, uint slot) {
    uint index = Words(params.tokens).at[token];
    return index < params.n_table_rows ? Words(advance(params.table, index, kSlots * 4u)).at[slot] : ~0u;
}

/// Writes the choice for a slot down.
void store_choice(uint token, uint slot, uint expert) {
    WordsOut(params.ids).at[token * kSlots + slot] = expert;
    if (kTable != 0u && expert >= params.n_experts) return;
    if (!is_null(params.counts)) atomicAdd(WordsInOut(params.counts).at[expert], 1u);
}

/// Turns the scores of the chosen experts into weights and writes them.
void store_weights(uint token, float chosen[kSlots], uint experts[kSlots], Row row) {
    if (kScore == kScoreSoftmaxOfChosen) {
        float largest = chosen[0];
        for (uint s = 1; s < kSlots; ++s) largest = max(largest, chosen[s]);
        row.is_nan = row.is_nan || is_infinite(largest);
        float total = 0.0;
        for (uint s = 0; s < kSlots; ++s) {
            chosen[s] = exp(chosen[s] - largest);
            total += chosen[s];
        }
        for (uint s = 0; s < kSlots; ++s) chosen[s] /= total;
    }
    float factor = params.scale;
    if (params.renormalize != 0u) {
        float sum = 0.0;
        for (uint s = 0; s < kSlots; ++s) sum += chosen[s];
        factor /= max(sum + params.sum_offset, params.least_sum);
    }
    if (row.is_nan) factor = uintBitsToFloat(0x7FC00000u);
    FloatsOut weights = FloatsOut(params.weights);
    for (uint s = 0; s < kSlots; ++s) {
        float weight = chosen[s] * factor;
        if (kTable != 0u && experts[s] >= params.n_experts) {
            weight = 0.0;
        } else if (kExpertScales != 0u) {
            weight *= Floats(params.expert_scales).at[experts[s]];
        }
        weights.at[token * kSlots + s] = weight;
    }
}

/// Score of an expert of the table: one that is none takes no part.
float table_score(Floats logits, uint expert, Row row) {
    if (expert < params.n_experts) return score_of(logits.at[expert], row);
    return kScore == kScoreSoftmaxOfChosen ? uintBitsToFloat(0xFF800000u) : 0.0;  // -infinity
}

#ifdef VKMOE_PATH_SCALAR
const uint kMaxExperts = 512;  // kMaxRouterExperts of src/kernels/router.h

uint selection_key(Floats logits, uint expert, Row row) {
    float logit = logits.at[expert];
    return kByScore == 0u ? order_key(logit) : biased_key(logit, expert, row);
}

void main() {
    uint token = group_index() * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
    if (token >= params.n_tokens) return;
    Floats logits = Floats(advance(params.logits, token, params.n_experts * 4u));

    Row row = Row(0.0, 0.0, false);
    uint largest_key = 0u;
    for (uint e = 0; e < params.n_experts; ++e) {
        uint key = order_key(logits.at[e]);
        largest_key = max(largest_key, key);
        row.is_nan = row.is_nan || key == kNanKey;
    }
    if (kScore == kScoreSoftmax) {
        row.largest = from_order_key(largest_key);
        row.is_nan = row.is_nan || is_infinite(row.largest);
        for (uint e = 0; e < params.n_experts; ++e) row.total += exp(logits.at[e] - row.largest);
    }

    float chosen[kSlots];
    uint experts[kSlots];
    if (kTable != 0u) {
        for (uint s = 0; s < kSlots; ++s) {
            experts[s] = looked_up(token, s);
            store_choice(token, s, experts[s]);
            chosen[s] = table_score(logits, experts[s], row);
        }
        store_weights(token, chosen, experts, row);
        return;
    }

    uint group_size = params.n_experts / kGroups;
    uint taken[kMaxExperts / 32u];
    for (uint i = 0; i < kMaxExperts / 32u; ++i) taken[i] = 0u;
    if (kGroups > 1u) {
        uint group_keys[kGroups];
        for (uint g = 0; g < kGroups; ++g) {
            uint best = 0u;
            uint second = 0u;
            for (uint e = g * group_size; e < (g + 1u) * group_size; ++e) {
                uint key = selection_key(logits, e, row);
                second = max(second, min(best, key));
                best = max(best, key);
            }
            group_keys[g] = group_key(best, second);
        }
        uint used = used_groups(group_keys);
        for (uint e = 0; e < params.n_experts; ++e) {
            if ((used >> (e / group_size) & 1u) == 0u) taken[e / 32u] |= 1u << (e % 32u);
        }
    }
    for (uint s = 0; s < kSlots; ++s) {
        uint best = 0u;
        uint expert = 0u;
        for (uint e = 0; e < params.n_experts; ++e) {
            uint key = (taken[e / 32u] >> (e % 32u) & 1u) == 0u ? selection_key(logits, e, row) : 0u;
            if (key > best) {
                best = key;
                expert = e;
            }
        }
        store_choice(token, s, expert);
        experts[s] = expert;
        if (kScore == kScoreSparseMixer) {
            float most = from_order_key(best);
            float total = 0.0;
            for (uint e = 0; e < params.n_experts; ++e) {
                bool is_left = (taken[e / 32u] >> (e % 32u) & 1u) == 0u;
                if (is_left && is_near(logits.at[e], most)) total += exp(logits.at[e] - most);
            }
            chosen[s] = is_infinite(most) ? uintBitsToFloat(0x7FC00000u) : 1.0 / total;
        } else {
            chosen[s] = score_of(logits.at[expert], row);
        }
        taken[expert / 32u] |= 1u << (expert % 32u);
    }
    store_weights(token, chosen, experts, row);
}
#else
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require

uint expert_of(uint i) { return i * gl_SubgroupSize + gl_SubgroupInvocationID; }

/// Removes the keys of experts that are in no group of the best.
void drop_groups(inout uint keys[kKeysPerLane]) {
    uint group_size = params.n_experts / kGroups;
    uint group_keys[kGroups];
    [[dont_unroll]] for (uint g = 0; g < kGroups; ++g) {
        uint best = 0u;
        uint second = 0u;
        [[unroll]] for (uint i = 0; i < kKeysPerLane; ++i) {
            // Wraps around to a large number below the group.
            uint key = expert_of(i) - g * group_size < group_size ? keys[i] : 0u;
            second = max(second, min(best, key));
            best = max(best, key);
        }
        uint group_best = subgroupMax(best);
        if (kGroupTopTwo != 0u) {
            uint owner = subgroupMin(best == group_best ? gl_SubgroupInvocationID : ~0u);
            second = subgroupMax(gl_SubgroupInvocationID == owner ? second : best);
        }
        group_keys[g] = group_key(group_best, second);
    }
    uint used = used_groups(group_keys);
    [[unroll]] for (uint i = 0; i < kKeysPerLane; ++i) {
        // Beyond the last expert there is no key to remove.
        if ((used >> min(expert_of(i) / group_size, 31u) & 1u) == 0u) keys[i] = 0u;
    }
}

void main() {
    uint token = group_index() * gl_NumSubgroups + gl_SubgroupID;
    if (token >= params.n_tokens) return;
    Floats logits = Floats(advance(params.logits, token, params.n_experts * 4u));

    uint keys[kKeysPerLane];
    uint lane_best = 0u;
    uint has_nan = 0u;
    [[unroll]] for (uint i = 0; i < kKeysPerLane; ++i) {
        keys[i] = expert_of(i) < params.n_experts ? order_key(logits.at[expert_of(i)]) : 0u;
        lane_best = max(lane_best, keys[i]);
        if (keys[i] == kNanKey) has_nan = 1u;
    }
    Row row = Row(0.0, 0.0, false);
    if (kScore == kScoreSoftmax) {
        row.largest = from_order_key(subgroupMax(lane_best));
        [[unroll]] for (uint i = 0; i < kKeysPerLane; ++i) {
            if (keys[i] != 0u) row.total += exp(from_order_key(keys[i]) - row.largest);
        }
        row.total = subgroupAdd(row.total);
        row.is_nan = is_infinite(row.largest);
    }
    row.is_nan = row.is_nan || subgroupOr(has_nan) != 0u;

    float chosen[kSlots];
    uint experts[kSlots];
    if (kTable != 0u) {
        for (uint s = 0; s < kSlots; ++s) {
            experts[s] = looked_up(token, s);
            if (subgroupElect()) store_choice(token, s, experts[s]);
            chosen[s] = table_score(logits, experts[s], row);
        }
        if (subgroupElect()) store_weights(token, chosen, experts, row);
        return;
    }

    if (kByScore != 0u) {
        [[unroll]] for (uint i = 0; i < kKeysPerLane; ++i) {
            if (keys[i] != 0u) keys[i] = biased_key(from_order_key(keys[i]), expert_of(i), row);
        }
    }
    if (kGroups > 1u) drop_groups(keys);
    for (uint s = 0; s < kSlots; ++s) {
        // This lane's best, without what was taken in the rounds before; the strict comparison keeps the lower index.
        uint lane_expert = ~0u;
        lane_best = 0u;
        [[unroll]] for (uint i = 0; i < kKeysPerLane; ++i) {
            if (keys[i] > lane_best) {
                lane_best = keys[i];
                lane_expert = expert_of(i);
            }
        }
        uint best = subgroupMax(lane_best);
        uint expert = subgroupMin(lane_best == best ? lane_expert : ~0u);
        if (kScore == kScoreSparseMixer) {
            float most = from_order_key(best);
            float total = 0.0;
            [[unroll]] for (uint i = 0; i < kKeysPerLane; ++i) {
                float logit = from_order_key(keys[i]);
                if (keys[i] != 0u && is_near(logit, most)) total += exp(logit - most);
            }
            total = subgroupAdd(total);
            chosen[s] = is_infinite(most) ? uintBitsToFloat(0x7FC00000u) : 1.0 / total;
        } else {
            chosen[s] = score_of(kByScore == 0u ? from_order_key(best) : logits.at[expert], row);
        }
        [[unroll]] for (uint i = 0; i < kKeysPerLane; ++i) {
            if (expert_of(i) == expert) keys[i] = 0u;
        }
        if (subgroupElect()) store_choice(token, s, expert);
        experts[s] = expert;
    }
    if (subgroupElect()) store_weights(token, chosen, experts, row);
}
#endif
