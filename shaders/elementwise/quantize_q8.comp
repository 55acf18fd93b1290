// Rows of n_columns floats to packed int8 rows. kLanesPerBlock invocations a block of 32, rows after one another.
#version 460
#extension GL_GOOGLE_include_directive : require

#include "common/memory.glsl"
#include "common/grid.glsl"
#include "common/invocation.glsl"
#include "elementwise/params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint kLanesPerBlock = 1;
layout(push_constant) uniform Push { QuantizeQ8Params params; };

#include "common/quantize_q8.glsl"

void main() {
    uint items = params.n_columns / (4u * kVectorsPerLane);
    uint index = group_index() * gl_WorkGroupSize.x + invocation();
    if (index >= params.n_rows * items) return;
    uint row = index / items;
    uint item = index - row * items;

    Floats4 source = Floats4(advance(params.source, row, params.source_stride * 4u));
    vec4 x[8];
    [[unroll]] for (uint v = 0; v < kVectorsPerLane; ++v) x[v] = source.at[item * kVectorsPerLane + v];
    uvec2 destination_q8 = advance(params.destination_q8, row, q8_row_stride(params.n_columns));
    store_q8(destination_q8, params.n_columns, item / kLanesPerBlock, item % kLanesPerBlock, x);
}
