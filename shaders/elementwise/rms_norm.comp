// y = x / sqrt(mean(x^2) + epsilon) * weight for rows of n_columns floats, as float32, packed int8, or both.
// One workgroup a row. An invocation takes kVectorsPerLane neighbouring vec4 at a time, the same ones for the sum and for
// the output, so that the second read hits the cache.
#version 460
#extension GL_GOOGLE_include_directive : require

#include "common/memory.glsl"
#include "common/grid.glsl"
#include "common/invocation.glsl"
#include "elementwise/params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint kLanesPerBlock = 1;
layout(push_constant) uniform Push { RmsNormParams params; };

#include "common/quantize_q8.glsl"

shared float partial_sums[gl_WorkGroupSize.x];

#ifdef VKMOE_PATH_SCALAR
/// Adding all partial sums in every invocation costs one barrier; a tree would cost one a level.
float workgroup_sum(float value) {
    partial_sums[invocation()] = value;
    barrier();
    float sum = 0.0;
    [[dont_unroll]] for (uint i = 0; i < gl_WorkGroupSize.x; ++i) sum += partial_sums[i];
    return sum;
}
#else
#extension GL_KHR_shader_subgroup_arithmetic : require
float workgroup_sum(float value) {
    float sum = subgroupAdd(value);
    if (gl_NumSubgroups == 1u) return sum;
    if (subgroupElect()) partial_sums[gl_SubgroupID] = sum;
    barrier();
    sum = 0.0;
    for (uint i = gl_SubgroupInvocationID; i < gl_NumSubgroups; i += gl_SubgroupSize) sum += partial_sums[i];
    return subgroupAdd(sum);
}
#endif

void main() {
    uint row = group_index();
    if (row >= params.n_rows) return;
    Floats4 source = Floats4(advance(params.source, row, params.source_stride * 4u));
    uint items = params.n_columns / (4u * kVectorsPerLane);

    float squares = 0.0;
    for (uint item = invocation(); item < items; item += gl_WorkGroupSize.x) {
        [[unroll]] for (uint v = 0; v < kVectorsPerLane; ++v) {
            vec4 x = source.at[item * kVectorsPerLane + v];
            squares += dot(x, x);
        }
    }
    float scale = inversesqrt(workgroup_sum(squares) / float(params.n_columns) + params.epsilon);

    Floats4 weight = Floats4(params.weight);
    Floats4Out destination = Floats4Out(advance(params.destination, row, params.n_columns * 4u));
    uvec2 destination_q8 = advance(params.destination_q8, row, q8_row_stride(params.n_columns));
    for (uint item = invocation(); item < items; item += gl_WorkGroupSize.x) {
        vec4 y[8];
        [[unroll]] for (uint v = 0; v < kVectorsPerLane; ++v) {
            uint at = item * kVectorsPerLane + v;
            y[v] = source.at[at] * scale;
            if (!is_null(params.weight)) y[v] *= weight.at[at];
            if (!is_null(params.destination)) destination.at[at] = y[v];
        }
        if (!is_null(params.destination_q8)) {
            store_q8(destination_q8, params.n_columns, item / kLanesPerBlock, item % kLanesPerBlock, y);
        }
    }
}
