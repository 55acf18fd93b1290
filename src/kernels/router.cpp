#include "kernels/router.h"

#include "base/error.h"
#include "kernels/elementwise.h"
#include "routing/params.h"

namespace vkmoe {
namespace {

void check_groups(Op op, const RouterArgs& args) {
    if (args.n_groups == 0 || args.n_experts % args.n_groups != 0)
        fail(ErrorCode::kInvalidArgument, "{}: {} experts cannot be split into {} groups of equal size",
             op_name(op), args.n_experts, args.n_groups);
    if (args.n_groups > kMaxRouterGroups)
        fail(ErrorCode::kUnsupported, "{}: {} groups of experts; at most {} are supported", op_name(op),
             args.n_groups, kMaxRouterGroups);
    if (args.n_groups_used == 0 || args.n_groups_used > args.n_groups)
        fail(ErrorCode::kInvalidArgument, "{}: cannot use {} groups of {}", op_name(op), args.n_groups_used,
             args.n_groups);
    const uint32_t group_size = args.n_experts / args.n_groups;
    if (args.n_groups > 1 && args.group_score == GroupScore::kTopTwoSum && group_size < 2)
        fail(ErrorCode::kInvalidArgument,
             "{}: groups of one expert have no top two; score them by their best expert", op_name(op));
    if (args.n_slots > group_size * args.n_groups_used)
        fail(ErrorCode::kInvalidArgument, "{}: {} experts per token exceed the {} available{}", op_name(op),
             args.n_slots, group_size * args.n_groups_used, args.n_groups > 1 ? " in the groups used" : "");
}

void check_options(Op op, const RouterArgs& args) {
    const bool chooses_plainly = args.selection_bias == 0 && args.n_groups == 1;
    if (args.score == RouterScore::kSparseMixer && (!chooses_plainly || args.table != 0))
        fail(ErrorCode::kInvalidArgument, "{}: the sparse mixer takes no bias, no groups and no table",
             op_name(op));
    if (args.table == 0) return;
    if (!chooses_plainly)
        fail(ErrorCode::kInvalidArgument,
             "{}: experts that come from a table are not chosen by bias or groups", op_name(op));
    require_address(op, "table", args.table, 4);
    require_address(op, "tokens", args.tokens, 4);
    require_multiple(op, "n_table_rows", args.n_table_rows, 1);
}

}  // namespace

Dispatch router(KernelContext& context, const RouterArgs& args) {
    const Op op = Op::kRouter;
    require_address(op, "logits", args.logits, 4);
    require_address(op, "ids", args.ids, 4);
    require_address(op, "weights", args.weights, 4);
    require_optional_address(op, "counts", args.counts, 4);
    require_optional_address(op, "selection_bias", args.selection_bias, 4);
    require_optional_address(op, "expert_scales", args.expert_scales, 4);
    require_multiple(op, "n_tokens", args.n_tokens, 1);
    require_multiple(op, "n_experts", args.n_experts, 1);
    require_multiple(op, "n_slots", args.n_slots, 1);
    if (args.n_experts > kMaxRouterExperts || args.n_slots > kMaxRouterSlots)
        fail(ErrorCode::kUnsupported, "{}: {} experts with {} per token; at most {} with {} are supported",
             op_name(op), args.n_experts, args.n_slots, kMaxRouterExperts, kMaxRouterSlots);
    check_groups(op, args);
    check_options(op, args);

    const DevicePlan& plan = context.plan();
    const KernelBinary& kernel = find_kernel(context, op, args.path);
    const bool scalar = kernel.key.path == Path::kScalar;
    // A token's subgroup is alone in its workgroup while tokens are few: they then spread over the device.
    const uint32_t workgroup_size = !scalar && args.n_tokens <= 64 ? plan.subgroup_size : plan.workgroup_size;
    const uint32_t tokens_per_group = scalar ? workgroup_size : workgroup_size / plan.subgroup_size;
    const uint32_t keys_per_lane =
        scalar ? 1 : (args.n_experts + plan.subgroup_size - 1) / plan.subgroup_size;
    // To use all groups is to have none.
    const uint32_t n_groups = args.n_groups_used == args.n_groups ? 1 : args.n_groups;
    const bool sums_groups = n_groups > 1 && args.group_score == GroupScore::kTopTwoSum;
    const bool by_score = args.selection_bias != 0 || sums_groups;
    Dispatch dispatch;
    dispatch.pipeline = context.pipeline(
        kernel,
        {workgroup_size, args.n_slots, keys_per_lane, static_cast<uint32_t>(args.score), by_score ? 1u : 0u,
         n_groups, sums_groups ? 1u : 0u, args.table != 0 ? 1u : 0u, args.expert_scales != 0 ? 1u : 0u});
    dispatch.label = "router";
    const uint64_t n_routes = uint64_t{args.n_tokens} * args.n_slots;
    const uint64_t expert_bytes = uint64_t{args.n_experts} * sizeof(float);
    const uint64_t logits_bytes = strided_bytes(args.n_tokens, args.n_experts, args.n_experts);
    const uint64_t table_bytes = uint64_t{args.n_table_rows} * args.n_slots * sizeof(uint32_t);
    const uint64_t tokens = args.table != 0 ? args.tokens : 0;
    dispatch.set_push(RouterParams{.logits = dispatch.read({args.logits, logits_bytes}),
                                   .ids = dispatch.write({args.ids, n_routes * sizeof(uint32_t)}),
                                   .weights = dispatch.write({args.weights, n_routes * sizeof(float)}),
                                   .counts = dispatch.update({args.counts, expert_bytes}),
                                   .bias = dispatch.read({args.selection_bias, expert_bytes}),
                                   .expert_scales = dispatch.read({args.expert_scales, expert_bytes}),
                                   .table = dispatch.read({args.table, table_bytes}),
                                   .tokens = dispatch.read({tokens, args.n_tokens * sizeof(uint32_t)}),
                                   .n_tokens = args.n_tokens,
                                   .n_experts = args.n_experts,
                                   .n_groups_used = args.n_groups_used,
                                   .n_table_rows = args.n_table_rows,
                                   .renormalize = args.renormalize ? 1u : 0u,
                                   .sum_offset = args.sum_offset,
                                   .least_sum = args.floor,
                                   .scale = args.scale,
                                   .two_jitter = 2 * args.jitter,
                                   .padding = 0});
    dispatch.groups =
        folded_grid(context, op, (uint64_t{args.n_tokens} + tokens_per_group - 1) / tokens_per_group);
    return dispatch;
}

}  // namespace vkmoe
