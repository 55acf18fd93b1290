#include "kernels/page_wave.h"

#include "base/error.h"
#include "kernels/elementwise.h"

namespace vkmoe {

Dispatch page_wave(KernelContext& context, const PageWaveArgs& args) {
    const Op op = Op::kPageWave;
    const uint32_t n_dispatches = static_cast<uint32_t>(args.groups.size());
    require_address(op, "ids", args.ids, 4);
    require_address(op, "waves", args.waves, 4);
    require_address(op, "wave_ids", args.wave_ids, 4);
    if (n_dispatches != 0) require_address(op, "arguments", args.arguments, 4);
    require_multiple(op, "n_pairs", args.n_pairs, 1);
    require_multiple(op, "n_experts", args.n_experts, 1);
    if (n_dispatches > kMaxWaveDispatches)
        fail(ErrorCode::kUnsupported, "{}: {} dispatches; at most {} are supported", op_name(op),
             n_dispatches, kMaxWaveDispatches);

    // Workgroups cost narrow devices more than what little each would do.
    const uint32_t pairs_each = context.plan().subgroup_size < kWideSubgroup ? 16 : 2;
    const uint32_t workgroup_size = context.plan().workgroup_size;
    Dispatch dispatch;
    dispatch.label = "routes of a wave";
    dispatch.pipeline = context.pipeline(find_kernel(context, op, args.path), {workgroup_size});
    const uint64_t ids_bytes = uint64_t{args.n_pairs} * sizeof(uint32_t);
    const uint64_t arguments_bytes = uint64_t{n_dispatches} * 3 * sizeof(uint32_t);
    PageWaveParams params{.ids = dispatch.read({args.ids, ids_bytes}),
                          .waves = dispatch.read({args.waves, args.n_experts * sizeof(uint32_t)}),
                          .wave_ids = dispatch.write({args.wave_ids, ids_bytes}),
                          .arguments = dispatch.write({args.arguments, arguments_bytes}),
                          .wave = args.wave,
                          .n_pairs = args.n_pairs,
                          .n_experts = args.n_experts,
                          .n_dispatches = n_dispatches,
                          .groups = {}};
    for (uint32_t i = 0; i < 3 * n_dispatches; ++i) params.groups[i] = args.groups[i / 3][i % 3];
    dispatch.set_push(params);
    dispatch.groups =
        item_grid(context, op, (uint64_t{args.n_pairs} + pairs_each - 1) / pairs_each, workgroup_size);
    return dispatch;
}

}  // namespace vkmoe
