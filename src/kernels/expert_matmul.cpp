#include "kernels/expert_matmul.h"

#include "base/error.h"
#include "kernels/elementwise.h"
#include "kernels/linear_shape.h"

#include "matmul/params.h"

namespace vkmoe {

namespace {

/// Workgroups that cover the rows of one matrix.
uint32_t matrix_groups(const DevicePlan& plan, Path path, uint32_t n_rows) {
    const uint32_t tile_rows = matmul_tile(plan, path, TileUse::kExperts).rows;
    return n_rows / tile_rows + (n_rows % tile_rows != 0);
}

std::vector<uint32_t> constants(const DevicePlan& plan, Path path, bool gated) {
    MatmulTile tile = matmul_tile(plan, path, TileUse::kExperts);
    if (path == Path::kScalar)
        return {team_shape(plan, path).workgroup_size, 1, gated ? 1u : 0u, tile.tokens};
    return std::move(tile.constants);
}

}  // namespace

bool expert_matmul_gates(Path path) {
    return path == Path::kScalar;
}

uint32_t expert_tile_tokens(const DevicePlan& plan, std::initializer_list<Path> paths) {
    uint32_t tokens = UINT32_MAX;
    for (Path path : paths) tokens = std::min(tokens, matmul_tile(plan, path, TileUse::kExperts).tokens);
    return tokens;
}

TileGrid expert_tile_grid(const DevicePlan& plan, Path path, uint32_t n_rows, uint32_t n_matrices) {
    // A CPU's few workgroups at a time share a tile's activations where they are neighbours.
    return {n_matrices * matrix_groups(plan, path, n_rows), path == Path::kScalar};
}

Dispatch expert_matmul(KernelContext& context, const ExpertMatmulArgs& args) {
    check_linear_shape("expert_matmul", args.type, args.n_rows, args.n_columns);
    if (args.n_pairs == 0 || args.x_divisor == 0 || args.n_pairs % args.x_divisor != 0) {
        fail(ErrorCode::kInvalidArgument, "expert_matmul: {} pairs, {} for each token", args.n_pairs,
             args.x_divisor);
    }
    const KernelBinary& kernel = find_kernel(context, Op::kExpertMatmul, args.path, args.type);
    const Path path = kernel.key.path;
    if (args.gated && !expert_matmul_gates(path))
        fail(ErrorCode::kInvalidArgument, "expert_matmul: path {} has no gated kernel", path_name(path));
    const uint64_t x_stride = activation_row_bytes(path, args.n_columns);
    Dispatch dispatch;
    dispatch.label = args.label;
    dispatch.pipeline = context.pipeline(kernel, constants(context.plan(), path, args.gated));
    constexpr uint64_t kArgumentBytes = 3 * sizeof(uint32_t);
    dispatch.indirect = args.grouped.arguments.slice(args.dispatch * kArgumentBytes, kArgumentBytes);
    dispatch.set_push(ExpertParams{.experts = args.experts.records,
                                   .ids = 0,
                                   .tiles = args.grouped.tiles.address,
                                   .pairs = args.grouped.pairs.address,
                                   .x = args.x,
                                   .first_y = args.first_y,
                                   .second_y = args.second_y,
                                   .codebook = context.codebook(args.type),
                                   .first_offset = checked_record_offset(args.first_offset),
                                   .second_offset = checked_record_offset(args.second_offset),
                                   .n_rows = args.n_rows,
                                   .n_columns = args.n_columns,
                                   .n_pairs = args.n_pairs,
                                   .n_experts = args.experts.n_experts,
                                   .x_divisor = args.x_divisor,
                                   .x_stride = static_cast<uint32_t>(x_stride),
                                   .matrix_groups = matrix_groups(context.plan(), path, args.n_rows),
                                   .padding = 0});
    dispatch.read(args.grouped.tiles.address, args.grouped.tiles.size);
    dispatch.read(args.grouped.pairs.address, args.grouped.pairs.size);
    dispatch.read(args.experts.records, uint64_t{args.experts.n_experts} * sizeof(uint64_t));
    dispatch.reads.push_back(args.experts.memory);
    dispatch.read(args.x, x_stride * (args.n_pairs / args.x_divisor));
    const uint64_t y_bytes = uint64_t{args.n_pairs} * args.n_rows * sizeof(float);
    dispatch.write(args.first_y, y_bytes);
    dispatch.write(args.second_y, y_bytes);
    return dispatch;
}

}  // namespace vkmoe
