#include "kernels/matmul.h"

#include "base/error.h"
#include "kernels/elementwise.h"
#include "kernels/linear_shape.h"
#include "kernels/product_choice.h"

#include <algorithm>

namespace vkmoe {

Dispatch matmul(KernelContext& context, const MatmulArgs& args) {
    check_linear_shape("matmul", args.type, args.n_rows, args.n_columns);
    if (args.n_tokens == 0) fail(ErrorCode::kInvalidArgument, "matmul: no tokens");
    constexpr uint32_t kMostTokens = 1u << 31;  // shaders round the number up to whole tiles in 32 bits
    if (args.n_tokens > kMostTokens) {
        fail(ErrorCode::kInvalidArgument, "matmul: {} tokens; at most {} are possible", args.n_tokens,
             kMostTokens);
    }
    const KernelBinary& kernel = find_kernel(context, Op::kMatmul, args.path, args.type);
    Dispatch dispatch;
    dispatch.label = args.label;
    uint32_t columns = 0;  // of the grid
    uint32_t tile_tokens = 0;
    if (kernel.key.path == Path::kScalar) {
        TeamShape shape = team_shape(context.plan(), kernel.key.path);
        tile_tokens = register_tile_tokens(context.plan(), args.n_tokens);
        const uint32_t rows = tile_tokens <= 2 ? shape.rows : 1;
        dispatch.pipeline = context.pipeline(kernel, {shape.workgroup_size, rows, tile_tokens});
        columns = row_groups(shape, args.n_rows, rows);
    } else {
        const MatmulTile tile =
            dense_tile(context.plan(), kernel.key.path, args.n_rows, args.n_tokens, args.core_count);
        tile_tokens = tile.tokens;
        dispatch.pipeline = context.pipeline(kernel, tile.constants);
        columns = divide_up(args.n_rows, tile.rows);
    }
    dispatch.groups = folded_grid(context, Op::kMatmul, columns, divide_up(args.n_tokens, tile_tokens));
    bind_matmul(context, dispatch, args, kernel.key.path);
    return dispatch;
}

Dispatch linear(KernelContext& context, const MatmulArgs& args) {
    const Op op = dense_op(context.plan(), args.type, args.n_tokens, args.path);
    return op == Op::kMatvec ? matvec(context, args) : matmul(context, args);
}

ActivationLayout linear_layout(KernelContext& context, TensorType type, uint32_t n_tokens) {
    return activation_layout(linear_path(context, dense_op(context.plan(), type, n_tokens), type));
}

}  // namespace vkmoe
