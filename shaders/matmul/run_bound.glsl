// float run_bound(Run): no weight of the run is larger in magnitude. For float16 it is always 1: they need no scale.
#ifndef VKMOE_SHADERS_MATMUL_RUN_BOUND_GLSL
#define VKMOE_SHADERS_MATMUL_RUN_BOUND_GLSL

#if defined(VKMOE_TYPE_F16)

float run_bound(Run run) { return 1.0; }

#elif defined(VKMOE_TYPE_F32) || defined(VKMOE_TYPE_BF16)

float run_bound(Run run) {
    vec4 values[8];
    decode_run(run, values);
    uvec4 largest = uvec4(0u);  // on the bits, where infinities and NaNs are the largest
    [[unroll]] for (uint i = 0; i < 8; ++i) largest = max(largest, floatBitsToUint(values[i]) & 0x7FFFFFFFu);
    return uintBitsToFloat(max(max(largest.x, largest.y), max(largest.z, largest.w)));
}

#else

/// By the scales: at most 7 binades too large.
float run_bound(Run run) {
    vec2 bounds = 128.0 * abs(run.scale) + abs(run.offset);
    return max(bounds.x, bounds.y);
}

#endif
#endif
