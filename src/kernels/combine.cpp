#include "kernels/combine.h"

#include "elementwise/params.h"
#include "kernels/elementwise.h"

namespace vkmoe {

Dispatch combine(KernelContext& context, const CombineArgs& args) {
    const Op op = Op::kCombine;
    require_address(op, "expert_output", args.expert_output, 16);
    require_address(op, "weights", args.weights, 4);
    require_optional_address(op, "residual", args.residual, 16);
    require_address(op, "output", args.output, 16);
    require_multiple(op, "n_columns", args.n_columns, 4);
    require_multiple(op, "n_slots", args.n_slots, 1);
    require_multiple(op, "n_tokens", args.n_tokens, 1);

    const KernelBinary& kernel = find_kernel(context, op, args.path);
    const uint32_t workgroup_size = context.plan().workgroup_size;
    Dispatch dispatch;
    dispatch.pipeline = context.pipeline(kernel, {workgroup_size});
    dispatch.label = "combine";
    dispatch.set_push(CombineParams{args.expert_output, args.weights, args.residual, args.output,
                                    args.n_tokens, args.n_slots, args.n_columns, 0});
    dispatch.groups = item_grid(op, uint64_t{args.n_tokens} * (args.n_columns / 4), workgroup_size);
    const uint64_t n_weights = uint64_t{args.n_tokens} * args.n_slots;
    const uint64_t output_bytes = strided_bytes(args.n_tokens, args.n_columns, args.n_columns);
    dispatch.read(args.expert_output, output_bytes * args.n_slots);
    dispatch.read(args.weights, n_weights * sizeof(float));
    dispatch.read(args.residual, output_bytes);
    dispatch.write(args.output, output_bytes);
    return dispatch;
}

}  // namespace vkmoe
