#include "kernels/matvec.h"

#include "base/error.h"
#include "kernels/elementwise.h"
#include "kernels/linear_shape.h"

#include "matmul/params.h"

namespace vkmoe {

void bind_matmul(KernelContext& context, Dispatch& dispatch, const MatmulArgs& args, Path path,
                 uint32_t n_parts) {
    if (args.weights % row_alignment(args.type) != 0) {
        fail(ErrorCode::kInvalidArgument,
             "{}: weights at {:#x}; a {} matrix must start at a multiple of {} bytes", args.label,
             args.weights, tensor_type_info(args.type).name, row_alignment(args.type));
    }
    const uint64_t x_stride = activation_row_bytes(path, args.n_columns);
    const uint64_t y_bytes = uint64_t{args.n_tokens} * args.n_rows * sizeof(float);
    const uint64_t weights_bytes = row_bytes(args.type, args.n_columns) * args.n_rows;
    dispatch.set_push(MatmulParams{.weights = dispatch.read({args.weights, weights_bytes}),
                                   .x = dispatch.read({args.x, x_stride * args.n_tokens}),
                                   .y = dispatch.write({args.y, y_bytes * n_parts}),
                                   .residual = dispatch.read({args.residual, y_bytes}),
                                   .n_rows = args.n_rows,
                                   .n_columns = args.n_columns,
                                   .n_tokens = args.n_tokens,
                                   .x_stride = static_cast<uint32_t>(x_stride),
                                   .y_stride = args.n_rows,
                                   .n_parts = n_parts,
                                   .codebook = dispatch.read(view_of(context.codebook(args.type)))});
}

Dispatch matvec(KernelContext& context, const MatmulArgs& args) {
    check_linear_shape("matvec", args.type, args.n_rows, args.n_columns);
    if (args.n_tokens == 0 || args.n_tokens > kMaxMatvecTokens) {
        fail(ErrorCode::kInvalidArgument, "matvec: {} tokens; 1 to {} are supported", args.n_tokens,
             kMaxMatvecTokens);
    }
    const KernelBinary& kernel = find_kernel(context, Op::kMatvec, args.path, args.type);
    const DevicePlan& plan = context.plan();
    const TeamShape shape = team_shape(plan, kernel.key.path);
    // Of Q2_K, which has most scales and offsets, two rows by two tokens spill on Adreno 740, too.
    const uint32_t two_row_tokens = args.type == TensorType::kQ2_K ? 1 : plan.registers.two_row_tokens;
    const uint32_t rows = args.n_tokens <= two_row_tokens ? shape.rows : 1;
    const uint32_t tables = args.shared_tables ? 1 : shape.shared_tables;
    const uint32_t tokens = matvec_batch_tokens(plan, kernel.key.path, args.type, args.n_tokens);

    Dispatch dispatch;
    dispatch.label = args.label;
    dispatch.pipeline = context.pipeline(kernel, {shape.workgroup_size, rows, tokens, tables});
    dispatch.groups = folded_grid(context, Op::kMatvec, row_groups(shape, args.n_rows, rows),
                                  divide_up(args.n_tokens, tokens));
    bind_matmul(context, dispatch, args, kernel.key.path);
    return dispatch;
}

}  // namespace vkmoe
