#include "kernels/expert_matmul.h"

#include "base/error.h"
#include "kernels/elementwise.h"
#include "kernels/expert_params.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace vkmoe {

namespace {

/// Workgroups that cover the rows of one matrix.
uint32_t matrix_groups(const DevicePlan& plan, Path path, uint32_t n_rows) {
    const uint32_t tile_rows = matmul_tile(plan, path, TileUse::kExperts).rows;
    return n_rows / tile_rows + (n_rows % tile_rows != 0);
}

/// Of the widest copy in matmul/expert_matvec.comp.
[[maybe_unused]] constexpr uint32_t kMostRegisterTokens = 12;

std::vector<uint32_t> constants(const DevicePlan& plan, Path path, bool gated) {
    MatmulTile tile = matmul_tile(plan, path, TileUse::kExperts);
    if (path != Path::kScalar) return std::move(tile.constants);
    assert(tile.tokens <= kMostRegisterTokens);
    return {team_shape(plan, path).workgroup_size, 1, gated ? 1u : 0u, tile.tokens};
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
    check_expert_shape("expert_matmul", args);
    const KernelBinary& kernel = find_kernel(context, Op::kExpertMatmul, args.path, args.type);
    const Path path = kernel.key.path;
    if (args.gated && !expert_matmul_gates(path))
        fail(ErrorCode::kInvalidArgument, "expert_matmul: path {} has no gated kernel", path_name(path));
    Dispatch dispatch;
    dispatch.label = args.label;
    dispatch.pipeline = context.pipeline(kernel, constants(context.plan(), path, args.gated));
    constexpr uint64_t kArgumentBytes = 3 * sizeof(uint32_t);
    dispatch.indirect = args.grouped.arguments.slice(args.dispatch * kArgumentBytes, kArgumentBytes);
    ExpertParams params = read_experts(context, dispatch, args, path);
    params.tiles = args.grouped.tiles.address;
    params.pairs = args.grouped.pairs.address;
    params.first_y = args.first_y;
    params.second_y = args.second_y;
    params.matrix_groups = matrix_groups(context.plan(), path, args.n_rows);
    dispatch.set_push(params);
    dispatch.read(args.grouped.tiles.address, args.grouped.tiles.size);
    dispatch.read(args.grouped.pairs.address, args.grouped.pairs.size);
    const uint64_t y_bytes = uint64_t{args.n_pairs} * args.n_rows * sizeof(float);
    dispatch.write(args.first_y, y_bytes);
    dispatch.write(args.second_y, y_bytes);
    return dispatch;
}

}  // namespace vkmoe
