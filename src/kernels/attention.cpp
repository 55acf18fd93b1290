#include "kernels/attention.h"

#include "attention/params.h"
#include "base/error.h"
#include "kernels/activation.h"
#include "kernels/elementwise.h"
#include "kernels/kv_cache.h"

#include <algorithm>
#include <bit>
#include <numbers>

namespace vkmoe {
namespace {

constexpr Op kOp = Op::kAttention;
constexpr uint32_t kMaxQueries = 8;  // of a tile
constexpr uint32_t kMaxSplits = 4096;

/// CPU devices: their lanes are vector registers, loads are gathers, and a group more than the cores is
/// overhead.
bool is_narrow(const DevicePlan& plan) {
    return plan.subgroup_size <= 8;
}

uint32_t kv_word_dims(TensorType type) {
    if (type == TensorType::kF32) return 1;
    return type == TensorType::kF16 ? 2 : 4;
}

struct Layout {
    uint32_t lanes;
    AttentionTuning tuning;
};

Layout choose_layout(const DevicePlan& plan, Path path, const AttentionArgs& args) {
    Layout layout{plan.subgroup_size, args.tuning};
    AttentionTuning& tuning = layout.tuning;
    const uint32_t word_dims = kv_word_dims(args.kv_type);
    const uint32_t lane_words = divide_up(args.head_dim / word_dims, layout.lanes);
    const uint32_t query_rows = args.n_tokens * (args.n_heads / args.n_kv_heads);
    const bool narrow = is_narrow(plan);
    const AttentionPlan& registers = plan.attention;
    const bool is_packed = word_dims == 4;
    if (tuning.queries == 0) {
        // Sums of a tile live in registers on a GPU: head_dim / lanes numbers for each query.
        const bool crowded = !narrow && lane_words * word_dims * kMaxQueries > 64;
        const uint32_t most = std::min(is_packed ? registers.packed_queries : registers.queries,
                                       crowded ? kMaxQueries / 2 : kMaxQueries);
        tuning.queries = divide_up(query_rows, divide_up(query_rows, most));
    }
    if (tuning.rows == 0) tuning.rows = narrow ? 4 : 1;
    // The kernel takes rows of V by fours.
    while (layout.lanes * tuning.rows % 4 != 0) ++tuning.rows;
    if (tuning.cluster == 0) {
        const uint32_t chunks = args.head_dim / (4 * word_dims);
        tuning.cluster = narrow ? 1 : std::min(4u, std::bit_floor(chunks));
    }
    if (path == Path::kScalar) tuning.cluster = 1;
    // A weight once read serves all numbers of a lane at a time. 8 measured best on lavapipe, at twice the
    // speed of 1 or 2; registers bound it on a GPU.
    if (tuning.words_at_once == 0)
        tuning.words_at_once = std::min(lane_words, narrow ? 8 / word_dims : registers.words_at_once);
    if (tuning.value_rows == 0) tuning.value_rows = is_packed && !narrow ? registers.packed_value_rows : 4;
    return layout;
}

/// What both dispatches need.
void check_outputs(const AttentionArgs& args) {
    require_optional_address(kOp, "out", args.out, 16);
    require_optional_address(kOp, "q8_out", args.q8_out, 16);
    require_multiple(kOp, "n_tokens", args.n_tokens, 1);
    require_head_dim(kOp, args.head_dim);
    require_multiple(kOp, "n_heads", args.n_heads, 1);
    if (args.out == 0 && args.q8_out == 0)
        fail(ErrorCode::kInvalidArgument, "attention: neither out nor q8_out is given");
    if (args.n_splits == 0 || args.n_splits > kMaxSplits)
        fail(ErrorCode::kInvalidArgument, "attention: n_splits is {}, but must be from 1 to {}",
             args.n_splits, kMaxSplits);
    if (uint64_t{args.n_tokens} * args.n_heads * args.n_splits * 2 > 0x7FFFFFFFull)
        fail(ErrorCode::kUnsupported,
             "attention: {} tokens of {} heads in {} splits are too many for one dispatch", args.n_tokens,
             args.n_heads, args.n_splits);
}

void check_inputs(const AttentionArgs& args) {
    require_address(kOp, "q", args.q, 16);
    require_address(kOp, "k_cache", args.k_cache, 16);
    require_address(kOp, "v_cache", args.v_cache, 16);
    require_address(kOp, "positions", args.positions, 4);
    require_kv_heads(kOp, args.n_heads, args.n_kv_heads, args.n_context);
    if (args.n_context > 0x7FFF0000u)
        fail(ErrorCode::kUnsupported, "attention: a context of {} rows is more than 2^31 - 2^16",
             args.n_context);
    // Not checked_stride: the last row may be followed by nothing, and rows of Q may lie within rows of QKV.
    if (args.q_stride % 4 != 0 || (args.q_stride != 0 && args.q_stride < args.n_heads * args.head_dim) ||
        args.q_stride >= (1u << 30))
        fail(ErrorCode::kInvalidArgument,
             "attention: q_stride is {}, but must be a multiple of 4, at least n_heads * head_dim = {} and "
             "below 2^30",
             args.q_stride, args.n_heads * args.head_dim);
}

bool needs_parts(const AttentionArgs& args) {
    return args.n_splits > 1 || args.q8_out != 0;
}

uint32_t part_offset(const AttentionArgs& args) {
    // A multiple of 4 floats, so that rows of parts are read four at a time; never 0.
    return (args.n_tokens * args.n_heads * args.n_splits * 2 + 3) / 4 * 4;
}

/// Where there are parts.
uint64_t scratch_bytes(const AttentionArgs& args) {
    return attention_scratch_bytes(args.n_tokens, args.n_heads, args.head_dim, args.n_splits, true);
}

Dispatch attend(KernelContext& context, const AttentionArgs& args) {
    const KernelBinary& kernel = find_kernel(context, kOp, args.path, args.kv_type);
    const Layout layout = choose_layout(context.plan(), kernel.key.path, args);
    const bool parts = needs_parts(args);
    const uint32_t row_floats = args.n_heads * args.head_dim;
    const uint32_t q_stride = args.q_stride != 0 ? args.q_stride : row_floats;
    const uint32_t heads_per_kv = args.n_heads / args.n_kv_heads;
    const uint64_t cache_bytes = kv_layer_bytes(args.kv_type, args.n_kv_heads, args.n_context, args.head_dim);
    const MemoryView result = parts ? MemoryView{args.scratch, scratch_bytes(args)}
                                    : MemoryView{args.out, uint64_t{args.n_tokens} * row_floats * 4};

    Dispatch dispatch;
    const AttentionTuning& tuning = layout.tuning;
    dispatch.pipeline =
        context.pipeline(kernel, {layout.lanes, layout.lanes, args.head_dim, tuning.queries, tuning.rows,
                                  tuning.cluster, tuning.words_at_once, tuning.value_rows});
    dispatch.label = "attention";
    dispatch.set_push(
        AttentionParams{.q = dispatch.read({args.q, strided_bytes(args.n_tokens, row_floats, q_stride)}),
                        .k_cache = dispatch.read({args.k_cache, cache_bytes}),
                        .v_cache = dispatch.read({args.v_cache, cache_bytes}),
                        .positions = dispatch.read({args.positions, args.n_tokens * sizeof(int32_t)}),
                        .result = dispatch.write(result),
                        .q_stride = q_stride,
                        .n_tokens = args.n_tokens,
                        .n_heads = args.n_heads,
                        .heads_per_kv = heads_per_kv,
                        .n_context = args.n_context,
                        .window = args.window,
                        .n_splits = args.n_splits,
                        .part_offset = parts ? part_offset(args) : 0,
                        .scale = args.scale * std::numbers::log2e_v<float>,
                        .n_kv_heads = args.n_kv_heads});
    dispatch.groups = folded_grid(context, kOp, divide_up(args.n_tokens * heads_per_kv, tuning.queries),
                                  uint64_t{args.n_kv_heads} * args.n_splits);
    return dispatch;
}

}  // namespace

uint32_t attention_splits(const DevicePlan& plan, uint32_t n_tokens, uint32_t n_heads, uint32_t n_kv_heads,
                          uint32_t n_context) {
    // Enough groups for the schedulers of a large GPU, or for the cores of a CPU; but a split is worth its
    // part only with some rows to pass.
    const uint32_t wanted_groups = is_narrow(plan) ? 16 : 1024;
    constexpr uint32_t kLeastRows = 64;
    const uint64_t groups = uint64_t{n_kv_heads} * divide_up(n_tokens * (n_heads / n_kv_heads), kMaxQueries);
    const uint32_t most = std::clamp(divide_up(n_context, kLeastRows), 1u, 256u);
    return static_cast<uint32_t>(
        std::clamp<uint64_t>(wanted_groups / std::max<uint64_t>(groups, 1), 1, most));
}

uint64_t attention_scratch_bytes(uint32_t n_tokens, uint32_t n_heads, uint32_t head_dim, uint32_t n_splits,
                                 bool q8_output) {
    if (n_splits <= 1 && !q8_output) return 0;
    const uint64_t parts = uint64_t{n_tokens} * n_heads * n_splits;
    return (parts * 2 + 3) / 4 * 16 + parts * head_dim * 4;
}

std::vector<Dispatch> attention(KernelContext& context, const AttentionArgs& args) {
    check_outputs(args);
    check_inputs(args);
    if (!needs_parts(args)) return {attend(context, args)};
    require_address(kOp, "scratch", args.scratch, 16);
    return {attend(context, args), attention_reduce(context, args)};
}

Dispatch attention_reduce(KernelContext& context, const AttentionArgs& args) {
    check_outputs(args);
    require_address(Op::kAttentionReduce, "scratch", args.scratch, 16);
    const uint32_t row_floats = args.n_heads * args.head_dim;
    const uint32_t n_rows = args.n_tokens * args.n_heads;
    const uint64_t packed_row_bytes = q8_row_bytes(row_floats);
    const KernelBinary& kernel = find_kernel(context, Op::kAttentionReduce, args.path);
    const DevicePlan& plan = context.plan();
    const bool alone = kernel.key.path == Path::kScalar || is_narrow(plan);
    const uint32_t lanes_per_block = alone ? 1 : 8;
    Dispatch dispatch;
    dispatch.pipeline = context.pipeline(kernel, {plan.workgroup_size, lanes_per_block});
    dispatch.label = "attention_reduce";
    dispatch.set_push(
        AttentionReduceParams{.scratch = dispatch.read({args.scratch, scratch_bytes(args)}),
                              .result = dispatch.write({args.out, uint64_t{args.n_tokens} * row_floats * 4}),
                              .q8_out = dispatch.write({args.q8_out, args.n_tokens * packed_row_bytes}),
                              .n_rows = n_rows,
                              .n_heads = args.n_heads,
                              .head_dim = args.head_dim,
                              .n_splits = args.n_splits,
                              .part_offset = part_offset(args),
                              .q8_row_bytes = static_cast<uint32_t>(packed_row_bytes)});
    const uint64_t invocations = uint64_t{n_rows} * (args.head_dim / 32) * lanes_per_block;
    dispatch.groups = item_grid(context, Op::kAttentionReduce, invocations, plan.workgroup_size);
    return dispatch;
}

}  // namespace vkmoe
