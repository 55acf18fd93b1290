// The place of a workgroup in a grid that fold_grid() laid out. A folded grid may have more workgroups than were asked
// for: kernels drop indices and columns beyond their work.
#ifndef VKMOE_SHADERS_COMMON_GRID_GLSL
#define VKMOE_SHADERS_COMMON_GRID_GLSL

/// The index in a grid of one row.
uint group_index() {
    return (gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * gl_NumWorkGroups.x + gl_WorkGroupID.x;
}

/// Column (x) and row (y) in a grid of n_rows rows. Only a folded grid costs a division.
uvec2 grid_position(uint n_rows) {
    uint row = gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y;
    if (gl_NumWorkGroups.y * gl_NumWorkGroups.z == n_rows) return uvec2(gl_WorkGroupID.x, row);
    uint fold = row / n_rows;
    return uvec2(fold * gl_NumWorkGroups.x + gl_WorkGroupID.x, row - fold * n_rows);
}

#endif
