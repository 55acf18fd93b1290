#include "kernels/matmul.h"

#include "base/error.h"
#include "kernels/combine.h"
#include "kernels/elementwise.h"
#include "kernels/linear_shape.h"
#include "kernels/product_choice.h"

#include <algorithm>

namespace vkmoe {

namespace {

/// Into how many parts the columns may be split.
uint32_t most_parts(const MatmulArgs& args) {
    // Each part writes sums that are read again: with more of them those bytes come near the weights'.
    // Shorter ones are over before loads are in flight.
    constexpr uint32_t kMostParts = 4;
    constexpr uint32_t kPartColumns = 256;
    constexpr uint32_t kVector = 4;  // combine's
    if (args.n_rows % kVector != 0) return 1;
    const uint64_t y_bytes = uint64_t{args.n_tokens} * args.n_rows * sizeof(float);
    const uint64_t most = std::min<uint64_t>(args.split_sums.size / y_bytes, args.n_columns / kPartColumns);
    return static_cast<uint32_t>(std::clamp<uint64_t>(most, 1, kMostParts));
}

}  // namespace

std::vector<Dispatch> MatmulDispatches::in_order() const {
    std::vector<Dispatch> dispatches{product};
    if (sum) dispatches.push_back(*sum);
    return dispatches;
}

MatmulDispatches matmul(KernelContext& context, const MatmulArgs& args) {
    check_linear_shape("matmul", args.type, args.n_rows, args.n_columns);
    if (args.n_tokens == 0) fail(ErrorCode::kInvalidArgument, "matmul: no tokens");
    constexpr uint32_t kMostTokens = 1u << 31;  // shaders round the number up to whole tiles in 32 bits
    if (args.n_tokens > kMostTokens) {
        fail(ErrorCode::kInvalidArgument, "matmul: {} tokens; at most {} are possible", args.n_tokens,
             kMostTokens);
    }
    const KernelBinary& kernel = find_kernel(context, Op::kMatmul, args.path, args.type);
    MatmulDispatches result;
    Dispatch& dispatch = result.product;
    dispatch.label = args.label;
    uint32_t columns = 0;  // of the grid
    uint32_t tile_tokens = 0;
    uint32_t parts = 1;
    if (kernel.key.path == Path::kScalar) {
        TeamShape shape = team_shape(context.plan(), kernel.key.path);
        tile_tokens = register_tile_tokens(context.plan(), args.n_tokens);
        const uint32_t rows = tile_tokens <= 2 ? shape.rows : 1;
        dispatch.pipeline = context.pipeline(kernel, {shape.workgroup_size, rows, tile_tokens});
        columns = row_groups(shape, args.n_rows, rows);
    } else {
        const MatmulTile tile = dense_tile(context.plan(), kernel.key.path,
                                           {args.n_rows, args.n_tokens, args.core_count, most_parts(args)});
        tile_tokens = tile.tokens;
        parts = tile.parts;
        dispatch.pipeline = context.pipeline(kernel, tile.constants);
        columns = divide_up(args.n_rows, tile.rows);
    }
    dispatch.groups =
        folded_grid(context, Op::kMatmul, columns, parts * divide_up(args.n_tokens, tile_tokens));
    if (parts == 1) {
        bind_matmul(context, dispatch, args, kernel.key.path);
        return result;
    }
    MatmulArgs split = args;
    split.y = args.split_sums.address;
    split.residual = 0;
    bind_matmul(context, dispatch, split, kernel.key.path, parts);
    result.sum = combine(context, {.expert_output = args.split_sums.address,
                                   .residual = args.residual,
                                   .output = args.y,
                                   .n_tokens = args.n_tokens,
                                   .n_slots = parts,
                                   .n_columns = args.n_rows});
    result.sum->label = args.label;
    return result;
}

MatmulDispatches linear(KernelContext& context, const MatmulArgs& args) {
    if (dense_op(context.plan(), args.type, args.n_tokens, args.path) == Op::kMatmul)
        return matmul(context, args);
    return {.product = matvec(context, args), .sum = {}};
}

ActivationLayout linear_layout(KernelContext& context, TensorType type, uint32_t n_tokens) {
    return activation_layout(linear_path(context, dense_op(context.plan(), type, n_tokens), type));
}

}  // namespace vkmoe
