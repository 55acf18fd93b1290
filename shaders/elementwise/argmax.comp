// The index of the largest float of each row of n_columns, the lowest of those that are equal. Of a row with a NaN or an
// infinity: kArgmaxBroken and the index of the first of these.
// One workgroup a row. Invocations go through the row in steps, kBatch loads in flight.
#version 460
#extension GL_GOOGLE_include_directive : require

#include "common/memory.glsl"
#include "common/grid.glsl"
#include "common/invocation.glsl"
#include "common/order.glsl"
#include "elementwise/params.h"

#ifndef VKMOE_PATH_SCALAR
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint kVectorLoads = 0;  // 1: rows begin on 16 bytes and are whole vec4
layout(push_constant) uniform Push { ArgmaxParams params; };

const uint kBatch = 4;
const uint kBrokenKey = 0xFFFFFFFFu;

struct Best {
    uint key;
    uint index;
};

/// As order_key(), but above all numbers and alike for what is not finite.
uint argmax_key(float value) {
    bool finite = (floatBitsToUint(value) & 0x7FFFFFFFu) < 0x7F800000u;
    return finite ? order_key(value) : kBrokenKey;
}

shared uint partial_keys[gl_WorkGroupSize.x];
shared uint partial_indices[gl_WorkGroupSize.x];

void consider(inout Best best, uint key, uint index) {
    if (key > best.key || (key == best.key && index < best.index)) best = Best(key, index);
}

/// Largest of the workgroup; valid in invocation 0.
Best workgroup_best(Best best) {
#ifdef VKMOE_PATH_SCALAR
    partial_keys[invocation()] = best.key;
    partial_indices[invocation()] = best.index;
    barrier();
    if (invocation() == 0u) {
        [[dont_unroll]] for (uint i = 1; i < gl_WorkGroupSize.x; ++i) consider(best, partial_keys[i], partial_indices[i]);
    }
    return best;
#else
    uint key = subgroupMax(best.key);
    uint index = subgroupMin(best.key == key ? best.index : ~0u);
    if (gl_NumSubgroups == 1u) return Best(key, index);
    if (subgroupElect()) {
        partial_keys[gl_SubgroupID] = key;
        partial_indices[gl_SubgroupID] = index;
    }
    barrier();
    best = Best(0u, ~0u);
    for (uint i = gl_SubgroupInvocationID; i < gl_NumSubgroups; i += gl_SubgroupSize) {
        consider(best, partial_keys[i], partial_indices[i]);
    }
    key = subgroupMax(best.key);
    return Best(key, subgroupMin(best.key == key ? best.index : ~0u));
#endif
}

void main() {
    uint row = group_index();
    if (row >= params.n_rows) return;
    uvec2 source = advance(params.source, row, params.n_columns * 4u);

    Best best = Best(0u, ~0u);
    if (kVectorLoads == 1u) {
        uint last = params.n_columns / 4u - 1u;
        for (uint first = invocation(); first <= last; first += kBatch * gl_WorkGroupSize.x) {
            vec4 values[kBatch];
            uint at[kBatch];
            [[unroll]] for (uint b = 0; b < kBatch; ++b) {
                at[b] = min(first + b * gl_WorkGroupSize.x, last);  // to look at the last one again does no harm
                values[b] = Floats4(source).at[at[b]];
            }
            [[unroll]] for (uint b = 0; b < kBatch; ++b) {
                [[unroll]] for (uint i = 0; i < 4; ++i) consider(best, argmax_key(values[b][i]), at[b] * 4u + i);
            }
        }
    } else {
        uint last = params.n_columns - 1u;
        for (uint first = invocation(); first <= last; first += kBatch * gl_WorkGroupSize.x) {
            float values[kBatch];
            uint at[kBatch];
            [[unroll]] for (uint b = 0; b < kBatch; ++b) {
                at[b] = min(first + b * gl_WorkGroupSize.x, last);
                values[b] = Floats(source).at[at[b]];
            }
            [[unroll]] for (uint b = 0; b < kBatch; ++b) consider(best, argmax_key(values[b]), at[b]);
        }
    }
    best = workgroup_best(best);
    if (best.key == kBrokenKey) best.index |= kArgmaxBroken;
    if (invocation() == 0u) WordsOut(params.destination).at[row] = best.index;
}
