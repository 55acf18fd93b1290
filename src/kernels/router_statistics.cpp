#include "kernels/router_statistics.h"

#include "base/error.h"
#include "kernels/elementwise.h"
#include "routing/params.h"

namespace vkmoe {

Dispatch router_statistics(KernelContext& context, const RouterStatisticsArgs& args) {
    const Op op = Op::kRouterStatistics;
    require_address(op, "logits", args.logits, 4);
    require_address(op, "sums", args.sums, 8);
    require_multiple(op, "n_tokens", args.n_tokens, 1);
    require_multiple(op, "n_experts", args.n_experts, 1);
    if (args.n_experts > kMaxRouterExperts)
        fail(ErrorCode::kUnsupported, "{}: {} experts; at most {} are supported", op_name(op), args.n_experts,
             kMaxRouterExperts);

    const KernelBinary& kernel = find_kernel(context, op, args.path);
    const uint32_t workgroup_size = wide_workgroup(context.device(), args.n_experts, 256);
    constexpr uint32_t kTileTokens = 8;
    const uint32_t tile_tokens = args.n_tokens < kTileTokens ? 1 : kTileTokens;
    Dispatch dispatch;
    dispatch.pipeline =
        context.pipeline(kernel, {workgroup_size, static_cast<uint32_t>(args.score), tile_tokens,
                                  (args.n_experts + workgroup_size - 1) / workgroup_size});
    dispatch.label = "router statistics";
    dispatch.set_push(RouterStatisticsParams{
        .logits = dispatch.read({args.logits, strided_bytes(args.n_tokens, args.n_experts, args.n_experts)}),
        .sums = dispatch.update({args.sums, uint64_t{args.n_experts} * 2 * sizeof(float)}),
        .n_tokens = args.n_tokens,
        .n_experts = args.n_experts});
    return dispatch;
}

}  // namespace vkmoe
