#include "kernels/qk_norm_rope.h"

#include "attention/params.h"
#include "base/error.h"
#include "kernels/elementwise.h"
#include "kernels/kv_cache.h"

#include <cmath>
#include <numbers>

namespace vkmoe {
namespace {

constexpr Op kOp = Op::kQkNormRope;

void check(const QkNormRopeArgs& args) {
    require_address(kOp, "q", args.q, 4);
    require_address(kOp, "k", args.k, 4);
    require_address(kOp, "v", args.v, 4);
    require_address(kOp, "q_out", args.q_out, 4);
    require_optional_address(kOp, "q_norm", args.q_norm, 4);
    require_optional_address(kOp, "k_norm", args.k_norm, 4);
    require_address(kOp, "positions", args.positions, 4);
    require_address(kOp, "k_cache", args.k_cache, 16);
    require_address(kOp, "v_cache", args.v_cache, 16);
    require_head_dim(kOp, args.head_dim);
    require_kv_heads(kOp, args.n_heads, args.n_kv_heads, args.n_context);
    require_multiple(kOp, "n_tokens", args.n_tokens, 1);
    if (args.rope_dims % 2 != 0 || args.rope_dims > args.head_dim)
        fail(ErrorCode::kInvalidArgument,
             "qk_norm_rope: rope_dims is {}, but must be even and at most head_dim = {}", args.rope_dims,
             args.head_dim);
    if (args.rope_dims != 0) require_address(kOp, "rope_table", args.rope_table, 4);
}

uint32_t stride_or(uint32_t stride, uint32_t row_floats, const char* name) {
    if (stride == 0) return row_floats;
    if (stride < row_floats || stride >= (1u << 30))
        fail(ErrorCode::kInvalidArgument, "qk_norm_rope: {} is {}, but must be at least {} and below 2^30",
             name, stride, row_floats);
    return stride;
}

}  // namespace

std::vector<uint32_t> rope_table(uint32_t rope_dims, double base, double frequency_scale,
                                 std::span<const float> factors) {
    const uint32_t n_pairs = rope_dims / 2;
    if (rope_dims % 2 != 0)
        fail(ErrorCode::kInvalidArgument, "rope_table: rope_dims is {}, but must be even", rope_dims);
    if (!(base > 0) || !std::isfinite(base) || !std::isfinite(frequency_scale))
        fail(ErrorCode::kInvalidArgument, "rope_table: base {} or frequency scale {} is not a usable number",
             base, frequency_scale);
    if (!factors.empty() && factors.size() != n_pairs)
        fail(ErrorCode::kInvalidArgument, "rope_table: {} frequency factors for {} pairs of dimensions",
             factors.size(), n_pairs);
    std::vector<uint32_t> table;
    table.reserve(n_pairs * 2);
    for (uint32_t i = 0; i < n_pairs; ++i) {
        double frequency = std::pow(base, -2.0 * i / rope_dims) * frequency_scale;
        if (!factors.empty()) frequency /= static_cast<double>(factors[i]);
        const double turns = frequency / (2 * std::numbers::pi);
        if (!std::isfinite(turns))
            fail(ErrorCode::kInvalidArgument,
                 "rope_table: frequency factor {} of pair {} is not a usable number", factors[i], i);
        const double high = (turns - std::floor(turns)) * 0x1p32;
        const double low = (high - std::floor(high)) * 0x1p32;
        // A fraction that rounded up to a whole turn wraps to 0, hence the wider type.
        table.push_back(static_cast<uint32_t>(static_cast<uint64_t>(high)));
        table.push_back(static_cast<uint32_t>(static_cast<uint64_t>(low)));
    }
    return table;
}

Dispatch qk_norm_rope(KernelContext& context, const QkNormRopeArgs& args) {
    check(args);
    const uint32_t q_floats = args.n_heads * args.head_dim;
    const uint32_t kv_floats = args.n_kv_heads * args.head_dim;
    const uint32_t q_stride = stride_or(args.q_stride, q_floats, "q_stride");
    const uint32_t k_stride = stride_or(args.k_stride, kv_floats, "k_stride");
    const uint32_t v_stride = stride_or(args.v_stride, kv_floats, "v_stride");
    const uint32_t q_out_stride = stride_or(args.q_out_stride, q_floats, "q_out_stride");
    const uint64_t cache_bytes = kv_layer_bytes(args.kv_type, args.n_kv_heads, args.n_context, args.head_dim);
    const KernelBinary& kernel = find_kernel(context, kOp, args.path, args.kv_type);
    const uint32_t lanes = context.plan().subgroup_size;
    Dispatch dispatch;
    dispatch.pipeline = context.pipeline(
        kernel, {lanes, lanes, args.head_dim, args.rope_style == RopeStyle::kInterleaved ? 1u : 0u});
    dispatch.label = "qk_norm_rope";
    const auto rows = [&args](uint64_t address, uint32_t row_floats, uint32_t stride) {
        return MemoryView{address, strided_bytes(args.n_tokens, row_floats, stride)};
    };
    dispatch.set_push(
        QkNormRopeParams{.q = dispatch.read(rows(args.q, q_floats, q_stride)),
                         .k = dispatch.read(rows(args.k, kv_floats, k_stride)),
                         .v = dispatch.read(rows(args.v, kv_floats, v_stride)),
                         .q_out = dispatch.write(rows(args.q_out, q_floats, q_out_stride)),
                         .q_norm = dispatch.read({args.q_norm, args.head_dim * sizeof(float)}),
                         .k_norm = dispatch.read({args.k_norm, args.head_dim * sizeof(float)}),
                         .positions = dispatch.read({args.positions, args.n_tokens * sizeof(int32_t)}),
                         .rope_table = dispatch.read({args.rope_table, args.rope_dims * sizeof(uint32_t)}),
                         .k_cache = dispatch.write({args.k_cache, cache_bytes}),
                         .v_cache = dispatch.write({args.v_cache, cache_bytes}),
                         .q_stride = q_stride,
                         .k_stride = k_stride,
                         .v_stride = v_stride,
                         .q_out_stride = q_out_stride,
                         .n_heads = args.n_heads,
                         .n_kv_heads = args.n_kv_heads,
                         .n_context = args.n_context,
                         .rope_dims = args.rope_dims,
                         .norm_epsilon = args.norm_epsilon,
                         .attention_factor = args.attention_factor,
                         .n_tokens = args.n_tokens,
                         .padding = 0});
    dispatch.groups =
        folded_grid(context, kOp, uint64_t{args.n_heads} + 2ull * args.n_kv_heads, args.n_tokens);
    return dispatch;
}

}  // namespace vkmoe
