// A workgroup that works as one team of LANES invocations: in the subgroup path it is exactly one subgroup, in the scalar path
// it agrees through shared memory and barriers. Every function here is called by all lanes together.
#ifndef VKMOE_SHADERS_ATTENTION_LANES_GLSL
#define VKMOE_SHADERS_ATTENTION_LANES_GLSL

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint LANES = 1;  // the same number as local_size_x

#ifdef VKMOE_PATH_SUBGROUP

uint lane_index() { return gl_SubgroupInvocationID; }

/// What each lane wrote to shared memory is seen by all.
void lanes_barrier() { subgroupBarrier(); }

float lanes_add(float value) { return subgroupAdd(value); }
float lanes_max(float value) { return subgroupMax(value); }

#else

shared float lanes_values[LANES];

uint lane_index() { return gl_LocalInvocationID.x; }

void lanes_barrier() { barrier(); }

float lanes_add(float value) {
    lanes_values[lane_index()] = value;
    barrier();
    float sum = 0.0;
    for (uint i = 0u; i < LANES; ++i) sum += lanes_values[i];
    barrier();
    return sum;
}

float lanes_max(float value) {
    lanes_values[lane_index()] = value;
    barrier();
    float greatest = value;
    for (uint i = 0u; i < LANES; ++i) greatest = max(greatest, lanes_values[i]);
    barrier();
    return greatest;
}

#endif
#endif
