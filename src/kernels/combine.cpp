#include "kernels/combine.h"

#include "base/error.h"
#include "elementwise/params.h"
#include "kernels/elementwise.h"

namespace vkmoe {

Dispatch combine(KernelContext& context, const CombineArgs& args) {
    const Op op = Op::kCombine;
    require_optional_address(op, "expert_output", args.expert_output, 16);
    require_optional_address(op, "weights", args.weights, 4);
    require_optional_address(op, "shared_output", args.shared_output, 16);
    require_optional_address(op, "shared_gate", args.shared_gate, 4);
    require_optional_address(op, "residual", args.residual, 16);
    require_address(op, "output", args.output, 16);
    require_optional_address(op, "ids", args.rows.ids, 4);
    require_multiple(op, "n_columns", args.n_columns, 4);
    require_multiple(op, "n_tokens", args.n_tokens, 1);
    if ((args.n_slots == 0) != (args.expert_output == 0) || (args.n_slots == 0 && args.shared_output == 0))
        fail(ErrorCode::kInvalidArgument,
             "{}: {} slots {} expert rows and {} a shared expert are not a valid combination", op_name(op),
             args.n_slots, args.expert_output == 0 ? "without" : "with",
             args.shared_output == 0 ? "without" : "with");
    if (args.shared_gate != 0 && args.shared_output == 0)
        fail(ErrorCode::kInvalidArgument, "{}: a gate without a shared expert", op_name(op));

    const KernelBinary& kernel = find_kernel(context, op, args.path);
    const uint32_t workgroup_size = context.plan().workgroup_size;
    Dispatch dispatch;
    dispatch.pipeline = context.pipeline(kernel, {workgroup_size});
    dispatch.label = "combine";
    dispatch.groups = item_grid(context, op, uint64_t{args.n_tokens} * (args.n_columns / 4), workgroup_size);
    const uint64_t n_weights = uint64_t{args.n_tokens} * args.n_slots;
    const uint64_t output_bytes = strided_bytes(args.n_tokens, args.n_columns, args.n_columns);
    dispatch.set_push(
        CombineParams{.expert_output = dispatch.read({args.expert_output, output_bytes * args.n_slots}),
                      .weights = dispatch.read({args.weights, n_weights * sizeof(float)}),
                      .shared_output = dispatch.read({args.shared_output, output_bytes}),
                      .shared_gate = dispatch.read({args.shared_gate, args.n_tokens * sizeof(float)}),
                      .residual = dispatch.read({args.residual, output_bytes}),
                      .destination = dispatch.write({args.output, output_bytes}),
                      .ids = dispatch.read({args.rows.ids, n_weights * sizeof(uint32_t)}),
                      .n_tokens = args.n_tokens,
                      .n_slots = args.n_slots,
                      .n_columns = args.n_columns,
                      .n_experts = args.rows.n_experts});
    return dispatch;
}

}  // namespace vkmoe
