#include "kernels/expert_matvec.h"

#include "base/error.h"
#include "kernels/elementwise.h"
#include "kernels/linear_shape.h"

#include "matmul/params.h"

namespace vkmoe {

uint32_t checked_record_offset(uint64_t offset) {
    if (offset > UINT32_MAX)
        fail(ErrorCode::kUnsupported, "an expert of more than 4 GiB cannot be addressed");
    return static_cast<uint32_t>(offset);
}

Dispatch expert_matvec(KernelContext& context, const ExpertMatvecArgs& args) {
    check_linear_shape("expert_matvec", args.type, args.n_rows, args.n_columns);
    if (args.n_pairs == 0 || args.x_divisor == 0 || args.n_pairs % args.x_divisor != 0) {
        fail(ErrorCode::kInvalidArgument, "expert_matvec: {} pairs, {} for each token", args.n_pairs,
             args.x_divisor);
    }
    const KernelBinary& kernel = find_kernel(context, Op::kExpertMatvec, args.path, args.type);
    TeamShape shape = team_shape(context.plan(), kernel.key.path);
    uint32_t rows =
        kernel.key.path == Path::kScalar || args.gated ? 1 : 2;  // gate and up are two rows already

    Dispatch dispatch;
    dispatch.label = args.label;
    dispatch.pipeline = context.pipeline(kernel, {shape.workgroup_size, rows, args.gated ? 1u : 0u});
    dispatch.groups =
        folded_grid(context, Op::kExpertMatvec, row_groups(shape, args.n_rows, rows), args.n_pairs);
    uint64_t x_stride = activation_row_bytes(kernel.key.path, args.n_columns);
    dispatch.set_push(ExpertMatvecParams{.experts = args.experts.records,
                                         .ids = args.ids,
                                         .x = args.x,
                                         .y = args.y,
                                         .first_offset = checked_record_offset(args.first_offset),
                                         .second_offset = checked_record_offset(args.second_offset),
                                         .n_rows = args.n_rows,
                                         .n_columns = args.n_columns,
                                         .n_pairs = args.n_pairs,
                                         .n_experts = args.experts.n_experts,
                                         .x_divisor = args.x_divisor,
                                         .x_stride = static_cast<uint32_t>(x_stride),
                                         .codebook = context.codebook(args.type)});
    dispatch.read(args.experts.records, uint64_t{args.experts.n_experts} * sizeof(uint64_t));
    dispatch.reads.push_back(args.experts.memory);
    dispatch.read(args.ids, uint64_t{args.n_pairs} * sizeof(uint32_t));
    dispatch.read(args.x, x_stride * (args.n_pairs / args.x_divisor));
    dispatch.write(args.y, uint64_t{args.n_pairs} * args.n_rows * sizeof(float));
    return dispatch;
}

}  // namespace vkmoe
