#include "kernels/expert_matvec_sum.h"

#include "base/error.h"
#include "kernels/elementwise.h"
#include "kernels/expert_params.h"
#include "kernels/linear_shape.h"

#include "matmul/params.h"

namespace vkmoe {

Dispatch expert_matvec_sum(KernelContext& context, const ExpertMatvecSumArgs& args) {
    check_linear_shape("expert_matvec_sum", args.type, args.n_rows, args.n_columns);
    if (args.n_tokens == 0 || args.n_slots == 0) {
        fail(ErrorCode::kInvalidArgument, "expert_matvec_sum: {} tokens of {} slots", args.n_tokens,
             args.n_slots);
    }
    const KernelBinary& kernel = find_kernel(context, Op::kExpertMatvecSum, args.path, args.type);
    const TeamShape shape = team_shape(context.plan(), kernel.key.path);
    const uint32_t rows = shape.rows;

    Dispatch dispatch;
    dispatch.label = args.label;
    dispatch.pipeline = context.pipeline(kernel, {shape.workgroup_size, rows, shape.shared_tables});
    dispatch.groups =
        folded_grid(context, Op::kExpertMatvecSum, row_groups(shape, args.n_rows, rows), args.n_tokens);
    const uint64_t x_stride = activation_row_bytes(kernel.key.path, args.n_columns);
    const uint64_t n_pairs = uint64_t{args.n_tokens} * args.n_slots;
    const uint64_t y_bytes = uint64_t{args.n_tokens} * args.n_rows * sizeof(float);
    dispatch.set_push(ExpertMatvecSumParams{.experts = read_experts(dispatch, args.experts),
                                            .ids = dispatch.read({args.ids, n_pairs * sizeof(uint32_t)}),
                                            .weights = dispatch.read({args.weights, n_pairs * sizeof(float)}),
                                            .x = dispatch.read({args.x, x_stride * n_pairs}),
                                            .y = dispatch.write({args.y, y_bytes}),
                                            .residual = dispatch.read({args.residual, y_bytes}),
                                            .offset = checked_record_offset(args.offset),
                                            .n_rows = args.n_rows,
                                            .n_columns = args.n_columns,
                                            .n_tokens = args.n_tokens,
                                            .n_slots = args.n_slots,
                                            .n_experts = args.experts.n_experts,
                                            .x_stride = static_cast<uint32_t>(x_stride),
                                            .padding = 0,
                                            .codebook = dispatch.read(view_of(context.codebook(args.type)))});
    return dispatch;
}

}  // namespace vkmoe
