// The index of a workgroup in a grid that the host laid out with linear_grid().
#ifndef VKMOE_SHADERS_COMMON_GRID_GLSL
#define VKMOE_SHADERS_COMMON_GRID_GLSL

uint group_index() { return gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x; }

#endif
