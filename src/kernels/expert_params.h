#pragma once

#include "base/error.h"
#include "kernels/dispatch.h"
#include "kernels/expert_matvec.h"
#include "kernels/linear_shape.h"

#include "matmul/params.h"

namespace vkmoe {

/// Error(kInvalidArgument) for shapes that no expert kernel takes. Args: of expert_matvec or expert_matmul.
template <typename Args>
void check_expert_shape(std::string_view what, const Args& args) {
    check_linear_shape(what, args.type, args.n_rows, args.n_columns);
    if (args.n_pairs == 0 || args.x_divisor == 0 || args.n_pairs % args.x_divisor != 0)
        fail(ErrorCode::kInvalidArgument, "{}: {} pairs, {} for each token", what, args.n_pairs,
             args.x_divisor);
}

/// The address of a layer's table of records, for a kernel that reads the experts.
inline DeviceAddress read_experts(Dispatch& dispatch, const ExpertTable& experts) {
    return dispatch.read_table({experts.records, experts.n_experts * sizeof(uint64_t)},
                               {{AccessKind::kRead, experts.memory}});
}

/// In what expert_matvec and expert_matmul differ: the routes that they read, and their results.
struct ExpertRoutes {
    MemoryView ids;
    MemoryView tiles;
    MemoryView pairs;
    uint64_t first_y = 0;   ///< float32 [n_pairs, n_rows]
    uint64_t second_y = 0;  ///< likewise; 0: one result
};

/// The push constants of both, but for the grid.
template <typename Args>
ExpertParams expert_params(KernelContext& context, Dispatch& dispatch, const Args& args, Path path,
                           const ExpertRoutes& routes) {
    const uint64_t x_stride = activation_row_bytes(path, args.n_columns);
    const uint64_t y_bytes = uint64_t{args.n_pairs} * args.n_rows * sizeof(float);
    return {.experts = read_experts(dispatch, args.experts),
            .ids = dispatch.read(routes.ids),
            .tiles = dispatch.read(routes.tiles),
            .pairs = dispatch.read(routes.pairs),
            .x = dispatch.read({args.x, x_stride * (args.n_pairs / args.x_divisor)}),
            .first_y = dispatch.write({routes.first_y, y_bytes}),
            .second_y = dispatch.write({routes.second_y, y_bytes}),
            .codebook = dispatch.read(view_of(context.codebook(args.type))),
            .first_offset = checked_record_offset(args.first_offset),
            .second_offset = checked_record_offset(args.second_offset),
            .n_rows = args.n_rows,
            .n_columns = args.n_columns,
            .n_pairs = args.n_pairs,
            .n_experts = args.experts.n_experts,
            .x_divisor = args.x_divisor,
            .x_stride = static_cast<uint32_t>(x_stride),
            .matrix_groups = 0,
            .gated = 0};
}

}  // namespace vkmoe
