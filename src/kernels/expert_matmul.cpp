#include "kernels/expert_matmul.h"

#include "base/error.h"
#include "kernels/elementwise.h"
#include "kernels/expert_params.h"

#include <algorithm>
#include <cassert>

namespace vkmoe {

namespace {

/// Whether teams of lanes hold the sums in registers, by matmul/expert_matvec.comp, which is the scalar
/// path's only kernel.
bool works_in_teams(Path path, bool in_registers) {
    return in_registers || path == Path::kScalar;
}

/// Workgroups that cover the rows of one matrix.
uint32_t matrix_groups(const DevicePlan& plan, Path path, uint32_t n_rows, bool in_registers) {
    const bool in_teams = works_in_teams(path, in_registers);
    return divide_up(n_rows, in_teams ? team_shape(plan, path).teams : expert_tile(plan, path).rows);
}

/// Of the widest copy in matmul/expert_matvec.comp.
constexpr uint32_t kMostRegisterTokens = 8;

std::vector<uint32_t> constants(const DevicePlan& plan, Path path, const ExpertMatmulArgs& args) {
    if (!works_in_teams(path, args.in_registers)) return expert_tile(plan, path, args.tile_tokens).constants;
    const uint32_t tokens = args.in_registers ? args.tile_tokens : expert_tile(plan, path).tokens;
    assert(tokens <= kMostRegisterTokens);
    const TeamShape shape = team_shape(plan, path);
    return {shape.workgroup_size, 1, args.gated ? 1u : 0u, tokens, shape.shared_tables, shape.most_sums};
}

}  // namespace

bool expert_matmul_gates(const DevicePlan& plan, Path path) {
    // Each team or invocation has rows of both matrices. The element operations of coopmat2 see one sum.
    if (path == Path::kCoopmat2) return false;
    return !uses_matrices(path) || matrix_plan(plan, path).experts.row_matrices % 2 == 0;
}

uint32_t expert_tile_tokens(const DevicePlan& plan, std::initializer_list<Path> paths, uint32_t n_pairs,
                            uint32_t n_experts) {
    // The last tile of an expert is half empty, so that those with few pairs want small ones. With more
    // tokens a tile takes less time for each: 64 two thirds of what 16 take, 32 four fifths (Q4_K, by the
    // clocks of Mesa 26.2.6's code for Navi 31).
    constexpr uint64_t kPairsFor32 = 20;
    constexpr uint64_t kPairsFor64 = 100;
    const uint32_t wanted = n_pairs <= kPairsFor32 * n_experts   ? 16
                            : n_pairs <= kPairsFor64 * n_experts ? 32
                                                                 : UINT32_MAX;
    uint32_t tokens = UINT32_MAX;
    for (Path path : paths) tokens = std::min(tokens, expert_tile(plan, path, wanted).tokens);
    return tokens;
}

TileGrid expert_tile_grid(const DevicePlan& plan, const ExpertTiles& tiles) {
    const bool in_teams = works_in_teams(tiles.path, tiles.in_registers);
    // Gated, a team has a row of each matrix; a tile in shared memory has half of its rows of each.
    const uint32_t n_matrices = tiles.gated && in_teams ? 1 : tiles.n_matrices;
    // Neighbours among a CPU's few workgroups at a time share a tile's activations, which are all that teams
    // read twice.
    return {n_matrices * matrix_groups(plan, tiles.path, tiles.n_rows, tiles.in_registers), in_teams};
}

Dispatch expert_matmul(KernelContext& context, const ExpertMatmulArgs& args) {
    check_expert_shape("expert_matmul", args);
    const Op op = args.in_registers ? Op::kExpertMatvec : Op::kExpertMatmul;
    const KernelBinary& kernel = find_kernel(context, op, args.path, args.type);
    const Path path = kernel.key.path;
    if (args.gated && !args.in_registers && !expert_matmul_gates(context.plan(), path))
        fail(ErrorCode::kInvalidArgument, "expert_matmul: path {} has no gated kernel", path_name(path));
    const uint32_t most_tokens =
        args.in_registers ? kMostRegisterTokens : expert_tile(context.plan(), path).tokens;
    if (args.tile_tokens == 0 || args.tile_tokens > most_tokens)
        fail(ErrorCode::kInvalidArgument, "expert_matmul: tiles of {} tokens; 1 to {} are possible",
             args.tile_tokens, most_tokens);
    Dispatch dispatch;
    dispatch.label = args.label;
    dispatch.pipeline = context.pipeline(kernel, constants(context.plan(), path, args));
    constexpr uint64_t kArgumentBytes = 3 * sizeof(uint32_t);
    dispatch.indirect = args.grouped.arguments.slice(args.dispatch * kArgumentBytes, kArgumentBytes);
    ExpertParams params = expert_params(context, dispatch, args, path,
                                        {.ids = {},
                                         .tiles = view_of(args.grouped.tiles),
                                         .pairs = view_of(args.grouped.pairs),
                                         .first_y = args.first_y,
                                         .second_y = args.second_y});
    params.matrix_groups = matrix_groups(context.plan(), path, args.n_rows, args.in_registers);
    params.gated = args.gated ? 1 : 0;
    dispatch.set_push(params);
    return dispatch;
}

}  // namespace vkmoe
