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

uint32_t expert_team_rows(const DevicePlan& plan, Path path, bool gated) {
    if (gated) return 1;  // gate and up are two rows already
    return path == Path::kScalar ? plan.registers.scalar_rows : 2;
}

Dispatch expert_matvec(KernelContext& context, const ExpertMatvecArgs& args) {
    check_linear_shape("expert_matvec", args.type, args.n_rows, args.n_columns);
    if (args.n_pairs == 0 || args.x_divisor == 0 || args.n_pairs % args.x_divisor != 0) {
        fail(ErrorCode::kInvalidArgument, "expert_matvec: {} pairs, {} for each token", args.n_pairs,
             args.x_divisor);
    }
    const KernelBinary& kernel = find_kernel(context, Op::kExpertMatvec, args.path, args.type);
    TeamShape shape = team_shape(context.plan(), kernel.key.path);
    const uint32_t rows = expert_team_rows(context.plan(), kernel.key.path, args.gated);
    const uint32_t groups = row_groups(shape, args.n_rows, rows);

    Dispatch dispatch;
    dispatch.label = args.label;
    dispatch.pipeline = context.pipeline(kernel, {shape.workgroup_size, rows, args.gated ? 1u : 0u, 0});
    dispatch.groups = folded_grid(context, Op::kExpertMatvec, groups, args.n_pairs);
    uint64_t x_stride = activation_row_bytes(kernel.key.path, args.n_columns);
    dispatch.set_push(ExpertParams{.experts = args.experts.records,
                                   .ids = args.ids,
                                   .tiles = 0,
                                   .pairs = 0,
                                   .x = args.x,
                                   .first_y = args.y,
                                   .second_y = 0,
                                   .codebook = context.codebook(args.type),
                                   .first_offset = checked_record_offset(args.first_offset),
                                   .second_offset = checked_record_offset(args.second_offset),
                                   .n_rows = args.n_rows,
                                   .n_columns = args.n_columns,
                                   .n_pairs = args.n_pairs,
                                   .n_experts = args.experts.n_experts,
                                   .x_divisor = args.x_divisor,
                                   .x_stride = static_cast<uint32_t>(x_stride),
                                   .matrix_groups = UINT32_MAX,
                                   .padding = 0});
    dispatch.read(args.experts.records, uint64_t{args.experts.n_experts} * sizeof(uint64_t));
    dispatch.reads.push_back(args.experts.memory);
    dispatch.read(args.ids, uint64_t{args.n_pairs} * sizeof(uint32_t));
    dispatch.read(args.x, x_stride * (args.n_pairs / args.x_divisor));
    dispatch.write(args.y, uint64_t{args.n_pairs} * args.n_rows * sizeof(float));
    return dispatch;
}

}  // namespace vkmoe
