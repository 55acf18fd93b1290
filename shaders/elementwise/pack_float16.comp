// Rows of n_columns floats to float16 times a power of two for each row (layout: src/kernels/activation.h). The row's
// largest number comes to between 2^14 and 2^15, so that numbers down to 2^-28 of it keep all 11 bits.
// Rows whose id names no expert may be left out.
// One workgroup a row; an invocation takes 8 columns at a time, the same ones in both passes.
#version 460
#extension GL_GOOGLE_include_directive : require

#include "common/memory.glsl"
#include "common/grid.glsl"
#include "common/invocation.glsl"
#include "common/power_of_two.glsl"
#include "elementwise/params.h"

layout(local_size_x_id = 0) in;
layout(push_constant) uniform Push { PackFloat16Params params; };

shared uint partial_maximums[gl_WorkGroupSize.x];

#ifdef VKMOE_PATH_SCALAR
uint workgroup_max(uint value) {
    partial_maximums[invocation()] = value;
    barrier();
    uint largest = 0u;
    for (uint i = 0; i < gl_WorkGroupSize.x; ++i) largest = max(largest, partial_maximums[i]);
    return largest;
}
#else
#extension GL_KHR_shader_subgroup_arithmetic : require
uint workgroup_max(uint value) {
    uint largest = subgroupMax(value);
    if (gl_NumSubgroups == 1u) return largest;
    if (subgroupElect()) partial_maximums[gl_SubgroupID] = largest;
    barrier();
    largest = 0u;
    for (uint i = gl_SubgroupInvocationID; i < gl_NumSubgroups; i += gl_SubgroupSize) {
        largest = max(largest, partial_maximums[i]);
    }
    return subgroupMax(largest);
}
#endif

const uint kNotFinite = 0x7F800000u;

/// The largest magnitude's bits, of those that are finite.
uint finite_magnitude(vec4 values) {
    uvec4 bits = floatBitsToUint(values) & 0x7FFFFFFFu;
    bits = mix(bits, uvec4(0u), greaterThanEqual(bits, uvec4(kNotFinite)));
    return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

/// Drivers may do to NaN what they like in arithmetic and conversions.
uint pack_pair(vec2 values, float scale) {
    uvec2 bits = floatBitsToUint(values);
    bvec2 special = greaterThanEqual(bits & 0x7FFFFFFFu, uvec2(kNotFinite));
    uint halves = packHalf2x16(mix(values * scale, vec2(0.0), special));
    uvec2 kept = ((bits >> 16) & 0x8000u) | mix(uvec2(0x7C00u), uvec2(0x7E00u), greaterThan(bits & 0x7FFFFFFFu, uvec2(kNotFinite)));
    if (special.x) halves = (halves & 0xFFFF0000u) | kept.x;
    if (special.y) halves = (halves & 0xFFFFu) | (kept.y << 16);
    return halves;
}

void main() {
    uint row = group_index();
    if (row >= params.n_rows) return;
    if (!is_null(params.ids) && Words(params.ids).at[row] >= params.n_experts) return;
    Floats4 source = Floats4(advance(params.source, row, params.source_stride * 4u));
    uint items = params.n_columns / 8u;

    uint magnitude = 0u;
    for (uint item = invocation(); item < items; item += gl_WorkGroupSize.x) {
        magnitude = max(magnitude, max(finite_magnitude(source.at[item * 2u]), finite_magnitude(source.at[item * 2u + 1u])));
    }
    magnitude = workgroup_max(magnitude);
    int exponent = max(exponent_of(uintBitsToFloat(magnitude)) - 14, -126);
    float scale = power_of_two(-exponent);

    uvec2 destination = advance(params.destination, row, params.n_columns * 2u + 16u);
    for (uint item = invocation(); item < items; item += gl_WorkGroupSize.x) {
        vec4 low = source.at[item * 2u];
        vec4 high = source.at[item * 2u + 1u];
        Words4Out(destination).at[item] = uvec4(pack_pair(low.xy, scale), pack_pair(low.zw, scale),
                                                pack_pair(high.xy, scale), pack_pair(high.zw, scale));
    }
    if (invocation() == 0u) WordsOut(advance(destination, params.n_columns * 2u)).at[0] = uint(exponent);
}
