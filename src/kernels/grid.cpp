#include "kernels/grid.h"

#include "base/error.h"

namespace vkmoe {
namespace {

/// fold_grid() counts in 32 bits. It may make a grid larger by one column, row and layer each: the bound
/// leaves room for them.
bool can_fold(uint64_t n_columns, uint64_t n_rows, const GridSize& most) {
    constexpr uint64_t kMostWorkgroups = 1ull << 31;
    if (n_columns == 0 || n_rows == 0) return false;
    if (n_columns > kMostWorkgroups || n_rows > kMostWorkgroups / n_columns) return false;
    const uint64_t folded_rows = n_rows * ((n_columns - 1) / most.x + 1);
    return (folded_rows - 1) / most.y + 1 <= most.z;
}

}  // namespace

std::array<uint32_t, 3> folded_grid(const KernelContext& context, Op op, uint64_t n_columns,
                                    uint64_t n_rows) {
    const GridSize most = context.most_groups();
    if (!can_fold(n_columns, n_rows, most))
        fail(ErrorCode::kUnsupported,
             "{}: {} by {} workgroups are too many for device '{}', which launches at most {} by {} by {} at "
             "once; use a smaller micro-batch",
             op_name(op), n_columns, n_rows, context.device().caps().name, most.x, most.y, most.z);
    const GridSize size = fold_grid(static_cast<uint32_t>(n_columns), static_cast<uint32_t>(n_rows), most);
    return {size.x, size.y, size.z};
}

std::array<uint32_t, 3> item_grid(const KernelContext& context, Op op, uint64_t n_items,
                                  uint32_t workgroup_size) {
    // The padding of a folded grid must not wrap around either.
    if (n_items > (1ull << 32) - (1ull << 27))
        fail(ErrorCode::kInvalidArgument, "{}: {} work items are too many for one dispatch; use fewer rows",
             op_name(op), n_items);
    return folded_grid(context, op, (n_items + workgroup_size - 1) / workgroup_size);
}

}  // namespace vkmoe
