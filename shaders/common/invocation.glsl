// invocation(): the index within the workgroup, 0 .. gl_WorkGroupSize.x - 1. On paths with subgroups, those with the same
// index / gl_SubgroupSize are one subgroup: Vulkan does not promise that of gl_LocalInvocationIndex.
#ifndef VKMOE_SHADERS_COMMON_INVOCATION_GLSL
#define VKMOE_SHADERS_COMMON_INVOCATION_GLSL

#ifdef VKMOE_PATH_SCALAR
uint invocation() { return gl_LocalInvocationIndex; }
#else
#extension GL_KHR_shader_subgroup_basic : require
uint invocation() { return gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID; }
#endif

#endif
