#include "kernels/expert_matmul.h"

#include "base/error.h"
#include "kernels/elementwise.h"
#include "kernels/linear_shape.h"

#include "matmul/params.h"

namespace vkmoe {

namespace {

/// On the scalar path: the expert_matvec kernel under another name, a pair at a time.
std::vector<Dispatch> scalar_expert_matmul(KernelContext& context, const KernelBinary& kernel,
                                           const ExpertMatmulArgs& args) {
    TeamShape shape = team_shape(context.plan(), Path::kScalar);
    uint64_t x_stride = activation_row_bytes(Path::kScalar, args.n_columns);
    std::vector<Dispatch> dispatches;
    for (bool second : {false, true}) {
        uint64_t y = second ? args.second_y : args.first_y;
        if (y == 0) continue;
        Dispatch dispatch;
        dispatch.label = args.label;
        dispatch.pipeline = context.pipeline(kernel, {shape.workgroup_size, 1, 0});
        dispatch.groups =
            folded_grid(context, Op::kExpertMatmul, row_groups(shape, args.n_rows, 1), args.n_pairs);
        dispatch.set_push(ExpertMatvecParams{
            .experts = args.experts.records,
            .ids = args.ids,
            .x = args.x,
            .y = y,
            .first_offset = checked_record_offset(second ? args.second_offset : args.first_offset),
            .second_offset = 0,
            .n_rows = args.n_rows,
            .n_columns = args.n_columns,
            .n_pairs = args.n_pairs,
            .n_experts = args.experts.n_experts,
            .x_divisor = args.x_divisor,
            .x_stride = static_cast<uint32_t>(x_stride),
            .codebook = context.codebook(args.type)});
        dispatch.write(y, uint64_t{args.n_pairs} * args.n_rows * sizeof(float));
        dispatches.push_back(std::move(dispatch));
    }
    return dispatches;
}

}  // namespace

uint32_t expert_tile_tokens(const DevicePlan& plan, std::initializer_list<Path> paths) {
    uint32_t tokens = UINT32_MAX;
    for (Path path : paths)
        if (path != Path::kScalar)
            tokens = std::min(tokens, matmul_tile(plan, path, TileUse::kExperts).tokens);
    constexpr uint32_t kAny = 32;  // nobody reads the tiles
    return tokens == UINT32_MAX ? kAny : tokens;
}

uint32_t expert_tile_rows(const DevicePlan& plan, Path path, uint32_t n_rows) {
    if (path == Path::kScalar) return 1;
    const uint32_t tile_rows = matmul_tile(plan, path, TileUse::kExperts).rows;
    return n_rows / tile_rows + (n_rows % tile_rows != 0);
}

std::vector<Dispatch> expert_matmul(KernelContext& context, const ExpertMatmulArgs& args) {
    check_linear_shape("expert_matmul", args.type, args.n_rows, args.n_columns);
    if (args.n_pairs == 0 || args.x_divisor == 0 || args.n_pairs % args.x_divisor != 0) {
        fail(ErrorCode::kInvalidArgument, "expert_matmul: {} pairs, {} for each token", args.n_pairs,
             args.x_divisor);
    }
    const KernelBinary& kernel = find_kernel(context, Op::kExpertMatmul, args.path, args.type);
    Path path = kernel.key.path;
    uint64_t x_stride = activation_row_bytes(path, args.n_columns);
    std::vector<Dispatch> dispatches;
    if (path == Path::kScalar) {
        dispatches = scalar_expert_matmul(context, kernel, args);
    } else {
        Dispatch dispatch;
        dispatch.label = args.label;
        dispatch.pipeline =
            context.pipeline(kernel, matmul_tile(context.plan(), path, TileUse::kExperts).constants);
        const uint32_t own_tiles = expert_tile_rows(context.plan(), path, args.n_rows);
        const uint32_t matrix_tiles = args.matrix_tiles != 0 ? args.matrix_tiles : own_tiles;
        if (matrix_tiles < own_tiles)
            fail(ErrorCode::kInvalidArgument, "expert_matmul: a grid of {} tiles of rows for a matrix of {}",
                 matrix_tiles, own_tiles);
        constexpr uint64_t kArgumentBytes = 3 * sizeof(uint32_t);
        dispatch.indirect =
            args.grouped.arguments.slice(args.second_dispatch ? kArgumentBytes : 0, kArgumentBytes);
        dispatch.set_push(ExpertMatmulParams{.experts = args.experts.records,
                                             .tiles = args.grouped.tiles.address,
                                             .pairs = args.grouped.pairs.address,
                                             .x = args.x,
                                             .first_y = args.first_y,
                                             .second_y = args.second_y,
                                             .first_offset = checked_record_offset(args.first_offset),
                                             .second_offset = checked_record_offset(args.second_offset),
                                             .n_rows = args.n_rows,
                                             .n_columns = args.n_columns,
                                             .x_divisor = args.x_divisor,
                                             .x_stride = static_cast<uint32_t>(x_stride),
                                             .codebook = context.codebook(args.type),
                                             .matrix_tiles = matrix_tiles,
                                             .padding = 0});
        dispatch.read(args.grouped.tiles.address, args.grouped.tiles.size);
        dispatch.read(args.grouped.pairs.address, args.grouped.pairs.size);
        uint64_t y_bytes = uint64_t{args.n_pairs} * args.n_rows * sizeof(float);
        dispatch.write(args.first_y, y_bytes);
        dispatch.write(args.second_y, y_bytes);
        dispatches.push_back(std::move(dispatch));
    }
    for (Dispatch& dispatch : dispatches) {
        dispatch.read(args.experts.records, uint64_t{args.experts.n_experts} * sizeof(uint64_t));
        dispatch.reads.push_back(args.experts.memory);
        dispatch.read(args.ids, uint64_t{args.n_pairs} * sizeof(uint32_t));
        dispatch.read(args.x, x_stride * (args.n_pairs / args.x_divisor));
    }
    return dispatches;
}

}  // namespace vkmoe
