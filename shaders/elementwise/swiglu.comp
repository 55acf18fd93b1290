// gate / (1 + exp(-gate)) * up for rows of n_columns floats, as float32, packed int8, or both; for all rows, or for
// those whose id names an expert.
// An invocation takes kVectorsPerLane neighbouring vec4, rows after one another.
#version 460
#extension GL_GOOGLE_include_directive : require

#include "common/memory.glsl"
#include "common/grid.glsl"
#include "common/invocation.glsl"
#include "elementwise/params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint kLanesPerBlock = 1;
layout(push_constant) uniform Push { SwigluParams params; };

#include "common/quantize_q8.glsl"

void main() {
    uint items = params.n_columns / (4u * kVectorsPerLane);
    uint index = group_index() * gl_WorkGroupSize.x + invocation();
    if (index >= params.n_rows * items) return;
    uint row = index / items;
    uint item = index - row * items;
    if (!is_null(params.ids) && Words(params.ids).at[row] >= params.n_experts) return;

    Floats4 gate = Floats4(advance(params.gate, row, params.gate_stride * 4u));
    Floats4 up = Floats4(advance(params.up, row, params.up_stride * 4u));
    Floats4Out destination = Floats4Out(advance(params.destination, row, params.n_columns * 4u));
    vec4 y[8];
    [[unroll]] for (uint v = 0; v < kVectorsPerLane; ++v) {
        uint at = item * kVectorsPerLane + v;
        vec4 x = gate.at[at];
        y[v] = x / (1.0 + exp(-x)) * up.at[at];
        if (!is_null(params.destination)) destination.at[at] = y[v];
    }
    if (!is_null(params.destination_q8)) {
        uvec2 destination_q8 = advance(params.destination_q8, row, q8_row_stride(params.n_columns));
        store_q8(destination_q8, params.n_columns, item / kLanesPerBlock, item % kLanesPerBlock, y);
    }
}
