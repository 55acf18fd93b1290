// destination[t, s, :] = weights[t, s] * source[t, :] for each slot s of a token: what experts read that weigh their input.
// As float32, packed int8, or both. An invocation takes kVectorsPerLane neighbouring vec4, rows after one another.
#version 460
#extension GL_GOOGLE_include_directive : require

#include "common/memory.glsl"
#include "common/grid.glsl"
#include "common/invocation.glsl"
#include "elementwise/params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint kLanesPerBlock = 1;
layout(push_constant) uniform Push { WeighRowsParams params; };

#include "common/quantize_q8.glsl"

void main() {
    uint items = params.n_columns / (4u * kVectorsPerLane);
    uint index = group_index() * gl_WorkGroupSize.x + invocation();
    if (index >= params.n_rows * items) return;
    uint row = index / items;
    uint item = index - row * items;

    Floats4 source = Floats4(advance(params.source, row / params.n_slots, params.source_stride * 4u));
    Floats4Out destination = Floats4Out(advance(params.destination, row, params.n_columns * 4u));
    float weight = Floats(params.weights).at[row];
    vec4 y[8];
    [[unroll]] for (uint v = 0; v < kVectorsPerLane; ++v) {
        uint at = item * kVectorsPerLane + v;
        y[v] = weight * source.at[at];
        if (!is_null(params.destination)) destination.at[at] = y[v];
    }
    if (!is_null(params.destination_q8)) {
        uvec2 destination_q8 = advance(params.destination_q8, row, q8_row_stride(params.n_columns));
        store_q8(destination_q8, params.n_columns, item / kLanesPerBlock, item % kLanesPerBlock, y);
    }
}
