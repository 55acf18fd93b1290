// The routes of one wave of a batch: ids of experts of other waves become kNowhere. And the arguments of the dispatches
// that compute the wave, zeros where it has no experts.
// Launch: any number of invocations, which share the pairs. The first workgroup writes the arguments, each of its
// invocations looking at some experts.
#version 460
#extension GL_GOOGLE_include_directive : require

#include "common/memory.glsl"
#include "common/grid.glsl"
#include "pager/params.h"

layout(local_size_x_id = 0) in;
layout(push_constant) uniform Push { PageWaveParams params; };

shared uint n_found;

/// Whether any expert is of the wave.
bool has_experts() {
    if (gl_LocalInvocationIndex == 0u) n_found = 0u;
    barrier();
    uint n_own = 0u;
    for (uint e = gl_LocalInvocationIndex; e < params.n_experts; e += gl_WorkGroupSize.x) {
        if (Words(params.waves).at[e] == params.wave) ++n_own;
    }
    if (n_own != 0u) atomicAdd(n_found, n_own);
    barrier();
    return n_found != 0u;
}

void main() {
    uint n_invocations = gl_NumWorkGroups.x * gl_NumWorkGroups.y * gl_NumWorkGroups.z * gl_WorkGroupSize.x;
    uint first = group_index() * gl_WorkGroupSize.x + gl_LocalInvocationIndex;
    for (uint pair = first; pair < params.n_pairs; pair += n_invocations) {
        uint id = Words(params.ids).at[pair];
        bool is_of_wave = id < params.n_experts && Words(params.waves).at[min(id, params.n_experts - 1u)] == params.wave;
        WordsOut(params.wave_ids).at[pair] = is_of_wave ? id : kNowhere;
    }
    if (params.n_dispatches == 0u || group_index() != 0u) return;
    bool is_needed = has_experts();
    for (uint i = gl_LocalInvocationIndex; i < 3u * params.n_dispatches; i += gl_WorkGroupSize.x) {
        WordsOut(params.arguments).at[i] = is_needed ? params.groups[i] : 0u;
    }
}
