#include "kernels/router.h"

#include "base/error.h"
#include "kernels/elementwise.h"
#include "routing/params.h"

namespace vkmoe {

Dispatch router(KernelContext& context, const RouterArgs& args) {
    const Op op = Op::kRouter;
    require_address(op, "logits", args.logits, 4);
    require_address(op, "ids", args.ids, 4);
    require_address(op, "weights", args.weights, 4);
    require_optional_address(op, "counts", args.counts, 4);
    require_multiple(op, "n_tokens", args.n_tokens, 1);
    require_multiple(op, "n_experts", args.n_experts, 1);
    require_multiple(op, "n_slots", args.n_slots, 1);
    if (args.n_experts > kMaxRouterExperts || args.n_slots > kMaxRouterSlots)
        fail(ErrorCode::kUnsupported, "{}: {} experts with {} a token; at most {} with {} are supported",
             op_name(op), args.n_experts, args.n_slots, kMaxRouterExperts, kMaxRouterSlots);
    if (args.n_slots > args.n_experts)
        fail(ErrorCode::kInvalidArgument, "{}: {} experts a token are more than the {} there are",
             op_name(op), args.n_slots, args.n_experts);

    const DevicePlan& plan = context.plan();
    const KernelBinary& kernel = find_kernel(context, op, args.path);
    const bool scalar = kernel.key.path == Path::kScalar;
    // A token's subgroup is alone in its workgroup while tokens are few: they then spread over the device.
    const uint32_t workgroup_size = !scalar && args.n_tokens <= 64 ? plan.subgroup_size : plan.workgroup_size;
    const uint32_t tokens_per_group = scalar ? workgroup_size : workgroup_size / plan.subgroup_size;
    const uint32_t keys_per_lane =
        scalar ? 1 : (args.n_experts + plan.subgroup_size - 1) / plan.subgroup_size;
    Dispatch dispatch;
    dispatch.pipeline = context.pipeline(kernel, {workgroup_size, args.n_slots, keys_per_lane});
    dispatch.label = "router";
    dispatch.set_push(RouterParams{args.logits, args.ids, args.weights, args.counts, args.n_tokens,
                                   args.n_experts, args.renormalize ? 1u : 0u, args.floor, args.scale, 0});
    dispatch.groups = linear_grid((uint64_t{args.n_tokens} + tokens_per_group - 1) / tokens_per_group);
    const uint64_t n_routes = uint64_t{args.n_tokens} * args.n_slots;
    dispatch.read(args.logits, strided_bytes(args.n_tokens, args.n_experts, args.n_experts));
    dispatch.write(args.ids, n_routes * sizeof(uint32_t));
    dispatch.write(args.weights, n_routes * sizeof(float));
    dispatch.write(args.counts, uint64_t{args.n_experts} * sizeof(uint32_t));
    return dispatch;
}

}  // namespace vkmoe
