// How row kernels share a row: on the subgroup and dot4 paths the lanes of a subgroup take its chunks in turn and add up
// at the end; on the scalar path one invocation takes all of them, with no subgroup operation.
//
//   LANE, LANES             this lane among those that share a row
//   uint team_index(column) which team of lanes this is, in that column of the grid's workgroups
//   float team_sum(float)
#ifndef VKMOE_SHADERS_MATMUL_LANES_GLSL
#define VKMOE_SHADERS_MATMUL_LANES_GLSL

#if defined(VKMOE_PATH_SCALAR)

#define LANE 0u
#define LANES 1u
// A macro: before the shader has declared its layout, glslang takes gl_WorkGroupSize for 1.
#define team_index(column) ((column) * gl_WorkGroupSize.x + gl_LocalInvocationID.x)
float team_sum(float value) { return value; }

#else

#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#define LANE gl_SubgroupInvocationID
#define LANES gl_SubgroupSize
uint team_index(uint column) { return column * gl_NumSubgroups + gl_SubgroupID; }
float team_sum(float value) { return subgroupAdd(value); }

#endif
#endif
