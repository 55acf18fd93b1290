#include "kernels/page_resolve.h"

#include "base/error.h"
#include "kernels/elementwise.h"

namespace vkmoe {
namespace {

/// Wide enough that each invocation of a GPU sees few slots; narrow devices want no barriers instead.
uint32_t resolve_workgroup(const KernelContext& context, uint32_t n_slots) {
    constexpr uint32_t kSlotsEach = 4;
    const uint32_t subgroup_size = context.plan().subgroup_size;
    if (subgroup_size < kWideSubgroup) return subgroup_size;
    return wide_workgroup(context.device(), n_slots / kSlotsEach, 1024);
}

void check_args(Op op, const PageResolveArgs& args) {
    check_page_tables(op, args.tables, args.layer);
    require_address(op, "ids", args.ids, 4);
    require_address(op, "hit_ids", args.hit_ids, 4);
    require_address(op, "miss_ids", args.miss_ids, 4);
    require_address(op, "copies", args.copies, 16);
    require_address(op, "arguments", args.arguments, 4);
    require_multiple(op, "n_pairs", args.n_pairs, 1);
    require_multiple(op, "copy_groups", args.copy_groups, 1);
    if (args.n_pairs > kMaxResolvedPairs || args.n_predicted > kMaxPredictedExperts)
        fail(ErrorCode::kUnsupported,
             "{}: {} pairs and {} predicted experts; at most {} and {} are supported", op_name(op),
             args.n_pairs, args.n_predicted, kMaxResolvedPairs, kMaxPredictedExperts);
    if (args.n_predicted == 0) return;
    require_address(op, "predicted", args.predicted, 4);
    require_address(op, "probabilities", args.probabilities, 4);
}

}  // namespace

Dispatch page_resolve(KernelContext& context, const PageResolveArgs& args) {
    const Op op = Op::kPageResolve;
    check_args(op, args);
    const KernelBinary& kernel = find_kernel(context, op, args.path);
    const uint32_t workgroup_size =
        args.workgroup_size != 0 ? args.workgroup_size : resolve_workgroup(context, args.tables.n_slots);
    const bool one_subgroup =
        kernel.key.path != Path::kScalar && workgroup_size == context.plan().subgroup_size;
    Dispatch dispatch;
    dispatch.label = "resolve experts";
    dispatch.pipeline =
        context.pipeline(kernel, {workgroup_size, one_subgroup ? 1u : 0u, context.plan().slots_at_once});
    const uint64_t ids_bytes = uint64_t{args.n_pairs} * sizeof(uint32_t);
    const uint64_t predicted_bytes = uint64_t{args.n_predicted} * sizeof(uint32_t);
    const uint64_t n_copies = uint64_t{args.n_pairs} + args.n_predicted;
    dispatch.set_push(
        PageResolveParams{.tables = use_page_tables(dispatch, args.tables),
                          .ids = dispatch.read({args.ids, ids_bytes}),
                          .predicted = dispatch.read({args.predicted, predicted_bytes}),
                          .probabilities = dispatch.read({args.probabilities, predicted_bytes}),
                          .hit_ids = dispatch.write({args.hit_ids, ids_bytes}),
                          .miss_ids = dispatch.write({args.miss_ids, ids_bytes}),
                          .copies = dispatch.write({args.copies, n_copies * sizeof(PageCopy)}),
                          .arguments = dispatch.write({args.arguments, 9 * sizeof(uint32_t)}),
                          .layer = args.layer,
                          .n_pairs = args.n_pairs,
                          .n_predicted = args.n_predicted,
                          .copy_groups = args.copy_groups,
                          .miss_groups = {args.miss_groups[0], args.miss_groups[1], args.miss_groups[2]},
                          .padding = 0});
    return dispatch;
}

}  // namespace vkmoe
