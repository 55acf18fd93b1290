// How row kernels share a row: on the subgroup and dot4 paths the lanes of a subgroup take its chunks in turn and add up
// at the end; on the scalar path one invocation takes all of them, with no subgroup operation.
//
//   LANE, LANES             this lane among those that share a row
//   uint team_index(column) which team of lanes this is, in that column of the grid's workgroups
//   float team_sum(float)
//   Row team_row(uvec2 matrix, uint n_rows, uint stride, uint column, uint rows, uint r)
//                           number r of the team's `rows` rows in that column; beyond the matrix, its last
//
// Included after the shader's layout: before that, glslang takes gl_WorkGroupSize for 1.
#ifndef VKMOE_SHADERS_MATMUL_LANES_GLSL
#define VKMOE_SHADERS_MATMUL_LANES_GLSL

#if defined(VKMOE_PATH_SCALAR)

#define VKMOE_LANE_ROWS 1
#include "quant/row.glsl"

#define LANE 0u
#define LANES 1u
uint team_index(uint column) { return column * gl_WorkGroupSize.x + gl_LocalInvocationID.x; }
float team_sum(float value) { return value; }

Row team_row(uvec2 matrix, uint n_rows, uint stride, uint column, uint rows, uint r) {
    uint row = min(column * gl_WorkGroupSize.x * rows + r, n_rows - 1u);
    return Row(advance(matrix, row, stride), stride * rows, (n_rows - 1u - row) / rows);
}

#else

#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "quant/row.glsl"

#define LANE gl_SubgroupInvocationID
#define LANES gl_SubgroupSize
uint team_index(uint column) { return column * gl_NumSubgroups + gl_SubgroupID; }
float team_sum(float value) { return subgroupAdd(value); }

Row team_row(uvec2 matrix, uint n_rows, uint stride, uint column, uint rows, uint r) {
    return advance(matrix, min(team_index(column) * rows + r, n_rows - 1u), stride);
}

#endif
#endif
