#include "kernels/elementwise.h"

#include "base/error.h"

#include <algorithm>

namespace vkmoe {

void require_address(Op op, const char* argument, uint64_t address, uint64_t alignment) {
    if (address == 0) fail(ErrorCode::kInvalidArgument, "{}: {} has no address", op_name(op), argument);
    require_optional_address(op, argument, address, alignment);
}

void require_optional_address(Op op, const char* argument, uint64_t address, uint64_t alignment) {
    if (address % alignment != 0)
        fail(ErrorCode::kInvalidArgument, "{}: the address of {}, {:#x}, must be a multiple of {} bytes",
             op_name(op), argument, address, alignment);
}

void require_multiple(Op op, const char* argument, uint32_t value, uint32_t unit) {
    if (value == 0 || value % unit != 0)
        fail(ErrorCode::kInvalidArgument, "{}: {} is {}, but must be a multiple of {} other than 0",
             op_name(op), argument, value, unit);
}

void require_row_outputs(Op op, uint64_t output, uint64_t output_q8, uint32_t n_columns) {
    require_optional_address(op, "output", output, 16);
    require_optional_address(op, "output_q8", output_q8, 16);
    if (output == 0 && output_q8 == 0)
        fail(ErrorCode::kInvalidArgument, "{}: no output is given", op_name(op));
    require_multiple(op, "n_columns", n_columns, output_q8 != 0 ? 32 : 4);
}

uint32_t checked_stride(Op op, const char* argument, uint32_t stride, uint32_t n_columns) {
    if (stride == 0) return n_columns;
    // Shaders count the bytes of a stride in 32 bits.
    if (stride < n_columns || stride % 4 != 0 || stride >= 1u << 30)
        fail(ErrorCode::kInvalidArgument,
             "{}: {} is {}, but must be a multiple of 4, at least the {} columns of a row and below 2^30",
             op_name(op), argument, stride, n_columns);
    return stride;
}

uint64_t strided_bytes(uint32_t n_rows, uint32_t n_columns, uint32_t stride) {
    return n_rows == 0 ? 0 : (uint64_t{n_rows - 1} * stride + n_columns) * sizeof(float);
}

const KernelBinary& find_kernel(KernelContext& context, Op op, std::optional<Path> path, TensorType type) {
    return path ? context.kernel({op, type, *path}) : context.kernel(op, type);
}

uint32_t wide_workgroup(const Device& device, uint64_t n_items, uint32_t most) {
    const DevicePlan& plan = device.plan();
    if (plan.subgroup_size < kWideSubgroup) return plan.workgroup_size;
    const DeviceCaps& caps = device.caps();
    uint32_t limit = std::min({most, plan.max_workgroup_invocations, caps.max_workgroup_size[0]});
    if (caps.max_subgroups_per_workgroup != 0)
        limit = std::min(limit, caps.max_subgroups_per_workgroup * plan.subgroup_size);
    uint32_t size = plan.workgroup_size;
    while (size < n_items && size * 2 <= limit) size *= 2;
    return size;
}

RowLayout row_layout(const KernelContext& context, const KernelBinary& kernel, const RowTuning& tuning,
                     uint32_t workgroup_size, bool packs) {
    const DevicePlan& plan = context.plan();
    const bool scalar = kernel.key.path == Path::kScalar;
    RowLayout layout;
    layout.workgroup_size = tuning.workgroup_size != 0 ? tuning.workgroup_size
                            : scalar                   ? plan.workgroup_size
                                                       : workgroup_size;
    layout.lanes_per_block = !packs                                ? 8
                             : tuning.lanes_per_block != 0         ? tuning.lanes_per_block
                             : scalar                              ? 1
                             : plan.subgroup_size >= kWideSubgroup ? 8
                                                                   : 1;
    const uint32_t most_lanes = !packs ? 8 : scalar ? 1 : std::min(plan.subgroup_size, 8u);
    if (layout.lanes_per_block > most_lanes || 8 % layout.lanes_per_block != 0)
        fail(ErrorCode::kInvalidArgument, "{}: lanes_per_block is {}, but must divide 8 and be at most {}",
             kernel.name, layout.lanes_per_block, most_lanes);
    const uint32_t unit = std::max(scalar ? 1 : plan.subgroup_size, packs ? layout.lanes_per_block : 1);
    if (layout.workgroup_size % unit != 0 || layout.workgroup_size > plan.max_workgroup_invocations)
        fail(ErrorCode::kInvalidArgument,
             "{}: workgroup_size is {}, but must be a multiple of {} and at most {}", kernel.name,
             layout.workgroup_size, unit, plan.max_workgroup_invocations);
    return layout;
}

}  // namespace vkmoe
