// Lays a grid of workgroups out within a device's limits. Read by C++ (src/kernels/grid.cpp) and by kernels that write
// indirect arguments; kernels find their place in it by common/grid.glsl.
#ifndef VKMOE_SHADERS_COMMON_FOLD_GRID_H
#define VKMOE_SHADERS_COMMON_FOLD_GRID_H

#include "common/shared.h"

#ifdef __cplusplus
namespace vkmoe {
#define VKMOE_GRID_FUNCTION constexpr GridSize
#else
#define VKMOE_GRID_FUNCTION GridSize
#endif

struct GridSize {
    VKMOE_UINT x;
    VKMOE_UINT y;
    VKMOE_UINT z;
};

/// A grid of at least columns by rows workgroups, none of whose sides is larger than that of `most`. Columns beyond
/// most.x continue in further rows: the grid has `folds` times as many. Rows beyond most.y continue in z. The caller
/// sees to it that z fits and that no product is beyond 32 bits.
VKMOE_GRID_FUNCTION fold_grid(VKMOE_UINT columns, VKMOE_UINT rows, GridSize most) {
    VKMOE_UINT folds = columns == 0u ? 1u : (columns - 1u) / most.x + 1u;
    VKMOE_UINT folded_rows = rows * folds;
    GridSize size;
    size.x = columns == 0u ? 0u : (columns - 1u) / folds + 1u;
    size.z = folded_rows == 0u ? 1u : (folded_rows - 1u) / most.y + 1u;
    size.y = folded_rows == 0u ? 0u : (folded_rows - 1u) / size.z + 1u;
    return size;
}

#undef VKMOE_GRID_FUNCTION
#ifdef __cplusplus
}  // namespace vkmoe
#endif

#endif
