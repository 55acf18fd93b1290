#include "kernels/expert_matvec.h"

#include "base/error.h"
#include "kernels/elementwise.h"
#include "kernels/expert_params.h"

namespace vkmoe {

uint32_t checked_record_offset(uint64_t offset) {
    if (offset > UINT32_MAX)
        fail(ErrorCode::kUnsupported, "an expert of more than 4 GiB cannot be addressed");
    return static_cast<uint32_t>(offset);
}

Dispatch expert_matvec(KernelContext& context, const ExpertMatvecArgs& args) {
    check_expert_shape("expert_matvec", args);
    const KernelBinary& kernel = find_kernel(context, Op::kExpertMatvec, args.path, args.type);
    const TeamShape shape = team_shape(context.plan(), kernel.key.path);
    const uint32_t rows = args.gated ? 1 : shape.rows;  // gate and up are two rows already

    Dispatch dispatch;
    dispatch.label = args.label;
    dispatch.pipeline =
        context.pipeline(kernel, {shape.workgroup_size, rows, args.gated ? 1u : 0u, 0, shape.shared_tables});
    dispatch.groups =
        folded_grid(context, Op::kExpertMatvec, row_groups(shape, args.n_rows, rows), args.n_pairs);
    ExpertParams params = expert_params(
        context, dispatch, args, kernel.key.path,
        {.ids = {args.ids, args.n_pairs * sizeof(uint32_t)}, .tiles = {}, .pairs = {}, .first_y = args.y});
    params.matrix_groups = UINT32_MAX;  // all are of one matrix
    dispatch.set_push(params);
    return dispatch;
}

}  // namespace vkmoe
