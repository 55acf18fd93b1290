// destination[t, d] = residual[t, d] + sum over slots s of weights[t, s] * expert_output[t, s, d], in the order of slots,
// + sigmoid(shared_gate[t]) * shared_output[t, d]. Slots whose id names no expert are left out: nobody wrote their rows.
// One invocation a vec4 of the output, tokens after one another.
#version 460
#extension GL_GOOGLE_include_directive : require

#include "common/memory.glsl"
#include "common/grid.glsl"
#include "elementwise/params.h"
#include "routing/score.glsl"

layout(local_size_x_id = 0) in;
layout(push_constant) uniform Push { CombineParams params; };

void main() {
    uint vectors = params.n_columns / 4u;
    uint item = group_index() * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
    if (item >= params.n_tokens * vectors) return;
    uint t = item / vectors;
    uint at = item - t * vectors;

    uint row_bytes = params.n_columns * 4u;
    vec4 sum = vec4(0.0);
    if (!is_null(params.residual)) sum = Floats4(advance(params.residual, t, row_bytes)).at[at];
    for (uint s = 0; s < params.n_slots; ++s) {
        uint pair = t * params.n_slots + s;
        if (!is_null(params.ids) && Words(params.ids).at[pair] >= params.n_experts) continue;
        float weight = load_or(params.weights, pair, 1.0, params.expert_output);
        sum += weight * Floats4(advance(params.expert_output, pair, row_bytes)).at[at];
    }
    if (!is_null(params.shared_output)) {
        float gate = load_or(params.shared_gate, t, 1.0, params.shared_output);
        if (!is_null(params.shared_gate)) gate = sigmoid(gate);
        sum += gate * Floats4(advance(params.shared_output, t, row_bytes)).at[at];
    }
    Floats4Out(advance(params.destination, t, row_bytes)).at[at] = sum;
}
