#version 460
// Combines the parts of a split context (layout: AttentionReduceParams' scratch, see params.h): softmax over all of them.
//   scratch -> result float32 [n_rows, head_dim], n_rows = n_tokens * n_heads, and/or q8_out, rows of n_heads * head_dim packed int8
// Launch: one invocation for 32 / LANES_PER_BLOCK neighbouring numbers; LANES_PER_BLOCK invocations share a block of 32.
#extension GL_GOOGLE_include_directive : require
#include "common/memory.glsl"
#include "common/grid.glsl"
#include "common/invocation.glsl"
#include "attention/params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint kLanesPerBlock = 1;
#include "common/quantize_q8.glsl"

layout(push_constant, scalar) uniform Push { AttentionReduceParams params; };

void main() {
    uint index = group_index() * gl_WorkGroupSize.x + invocation();
    uint blocks_per_row = params.head_dim / 32u;
    uint block = index / kLanesPerBlock;
    uint lane = index % kLanesPerBlock;
    uint row = block / blocks_per_row;
    if (row >= params.n_rows) return;
    uint column = block % blocks_per_row * 32u + lane * 4u * kVectorsPerLane;  // within the head

    uint first = row * params.n_splits;
    Floats marks = Floats(advance(params.scratch, first, 8u));
    float greatest = -1e30;
    for (uint split = 0u; split < params.n_splits; ++split) greatest = max(greatest, marks.at[2u * split]);

    uvec2 part = advance(advance(params.scratch, params.part_offset, 4u), first, params.head_dim * 4u);
    part = advance(part, column * 4u);
    float sum = 0.0;
    vec4 values[8];
    [[unroll]] for (uint v = 0u; v < 8u; ++v) values[v] = vec4(0.0);
    for (uint split = 0u; split < params.n_splits; ++split) {
        float part_sum = marks.at[2u * split + 1u];
        // A part without rows has no numbers at all: what lies there may be NaN. But a sum that is NaN counts.
        if (part_sum != 0.0) {
            float weight = exp2(marks.at[2u * split] - greatest);
            sum = fma(weight, part_sum, sum);
            Floats4 numbers = Floats4(advance(part, split, params.head_dim * 4u));
            [[unroll]] for (uint v = 0u; v < kVectorsPerLane; ++v) values[v] += weight * numbers.at[v];
        }
    }
    float factor = sum != 0.0 ? 1.0 / sum : 0.0;
    [[unroll]] for (uint v = 0u; v < kVectorsPerLane; ++v) values[v] *= factor;

    if (!is_null(params.result)) {
        Floats4Out numbers = Floats4Out(advance(advance(params.result, row, params.head_dim * 4u), column * 4u));
        [[unroll]] for (uint v = 0u; v < kVectorsPerLane; ++v) numbers.at[v] = values[v];
    }
    if (!is_null(params.q8_out)) {
        uint head = row % params.n_heads;
        uvec2 target = advance(params.q8_out, row / params.n_heads, params.q8_row_bytes);
        store_q8(target, params.n_heads * params.head_dim, head * blocks_per_row + column / 32u, lane, values);
    }
}
