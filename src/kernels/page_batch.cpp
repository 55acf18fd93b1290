#include "kernels/page_batch.h"

#include "base/error.h"
#include "kernels/elementwise.h"
#include "pager/params.h"

namespace vkmoe {

uint32_t page_wave_count(uint32_t n_experts, uint32_t wave_slots) {
    return 1 + (n_experts + wave_slots - 1) / wave_slots;
}

Dispatch page_batch(KernelContext& context, const PageBatchArgs& args) {
    const Op op = Op::kPageBatch;
    check_page_tables(op, args.tables, args.layer);
    require_address(op, "ids", args.ids, 4);
    require_address(op, "waves", args.waves, 4);
    require_address(op, "copies", args.copies, 16);
    require_address(op, "arguments", args.arguments, 4);
    require_multiple(op, "n_pairs", args.n_pairs, 1);
    require_multiple(op, "copy_groups", args.copy_groups, 1);
    require_multiple(op, "wave_slots", args.wave_slots, 1);
    require_multiple(op, "ring_slots", args.ring_slots, args.wave_slots);
    if (uint64_t{args.ring_first} + args.ring_slots > args.tables.n_places)
        fail(ErrorCode::kInvalidArgument,
             "{}: a ring of {} places that starts at {} does not fit in {} places", op_name(op),
             args.ring_slots, args.ring_first, args.tables.n_places);

    const uint32_t workgroup_size =
        args.workgroup_size != 0 ? args.workgroup_size : wide_workgroup(context.device(), args.n_pairs, 512);
    const uint32_t n_waves = page_wave_count(args.tables.n_experts, args.wave_slots);
    Dispatch dispatch;
    dispatch.label = "sort experts into waves";
    dispatch.pipeline = context.pipeline(find_kernel(context, op, args.path), {workgroup_size});
    dispatch.set_push(PageBatchParams{
        .tables = use_page_tables(dispatch, args.tables),
        .ids = dispatch.read({args.ids, args.n_pairs * sizeof(uint32_t)}),
        .waves = dispatch.write({args.waves, args.tables.n_experts * sizeof(uint32_t)}),
        .copies = dispatch.write({args.copies, args.tables.n_experts * sizeof(PageCopy)}),
        .arguments = dispatch.write({args.arguments, uint64_t{n_waves} * 3 * sizeof(uint32_t)}),
        .layer = args.layer,
        .n_pairs = args.n_pairs,
        .copy_groups = args.copy_groups,
        .ring_first = args.ring_first,
        .ring_slots = args.ring_slots,
        .wave_slots = args.wave_slots,
        .n_waves = n_waves,
        .padding = 0});
    return dispatch;
}

}  // namespace vkmoe
