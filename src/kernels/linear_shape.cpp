#include "kernels/linear_shape.h"

#include "base/error.h"
#include "kernels/activation.h"
#include "kernels/grid.h"

#include <algorithm>

namespace vkmoe {

uint64_t activation_row_bytes(Path path, uint64_t n_columns) {
    return activation_row_bytes(activation_layout(path), n_columns);
}

Path linear_path(KernelContext& context, Op op, TensorType type) {
    return context.kernel(op, type).key.path;
}

void check_linear_shape(std::string_view what, TensorType type, uint64_t n_rows, uint64_t n_columns) {
    const TensorTypeInfo& info = tensor_type_info(type);
    uint64_t unit = std::max<uint64_t>(32, info.block_elements);
    if (n_rows == 0 || n_columns == 0 || n_columns % unit != 0 || n_rows > UINT32_MAX ||
        n_columns > UINT32_MAX) {
        fail(ErrorCode::kInvalidArgument,
             "{}: a {} matrix of {} rows and {} columns; columns must be a multiple of {}", what, info.name,
             n_rows, n_columns, unit);
    }
}

TeamShape team_shape(const DevicePlan& plan, Path path) {
    const RegisterPlan& registers = plan.registers;
    if (path == Path::kScalar)
        return {registers.scalar_workgroup, registers.scalar_workgroup, registers.scalar_rows, 0};
    return {plan.workgroup_size, std::max(1u, plan.workgroup_size / plan.team_subgroup_size), 2,
            registers.shared_tables ? 1u : 0u};
}

uint32_t row_groups(const TeamShape& shape, uint32_t n_rows, uint32_t rows_per_team) {
    return divide_up(n_rows, shape.teams * rows_per_team);
}

uint32_t register_tile_tokens(const DevicePlan& plan, uint32_t n_tokens) {
    // Few sizes, so that pipelines are few.
    constexpr uint32_t kSizes[] = {1, 2, 3, 4, 6, 8, 12};
    // Decoding costs about as much as this many more tokens. lavapipe 26.2.6, Q4_K.
    constexpr uint64_t kDecoding = 3;
    uint32_t best = 1;
    uint64_t least = UINT64_MAX;
    for (const uint32_t size : kSizes) {
        if (size > plan.registers.tile_tokens) break;
        const uint64_t n_tiles = divide_up(n_tokens, size);
        const uint64_t cost = n_tiles * (size + kDecoding);
        if (cost >= least) continue;
        least = cost;
        best = size;
    }
    return best;
}

namespace {

void require_path(const DevicePlan& plan, Path path) {
    if (!uses_matrices(path) || plan.takes(path)) return;
    const std::string& missing = missing_for(plan, path);
    fail(ErrorCode::kUnsupported, "path {} is not used on this device: {}", path_name(path),
         missing.empty() ? "VKMOE_PATH selects another path" : "it lacks " + missing);
}

template <typename Tile>
MatmulTile constants_of(const Tile& tile) {
    return {tile.constants(), tile.tile_rows(), tile.tile_tokens()};
}

/// Of tiles.dense and the smaller ones.
template <typename Plan>
MatmulTile choose_dense(const Plan& tiles, uint32_t core_count, uint32_t n_rows, uint32_t n_tokens) {
    constexpr uint64_t kGroupsPerCore = 2;
    const auto suits = [&](const auto& tile) {
        if (tile.tile_tokens() >= uint64_t{2} * n_tokens) return false;  // half of it for nothing
        const uint64_t rows = divide_up(n_rows, tile.tile_rows());
        return rows * divide_up(n_tokens, tile.tile_tokens()) >= kGroupsPerCore * core_count;
    };
    const auto* best = &tiles.dense;
    for (const auto& smaller : tiles.smaller) {
        if (suits(*best)) break;
        best = &smaller;
    }
    return constants_of(*best);
}

}  // namespace

MatmulTile expert_tile(const DevicePlan& plan, Path path, uint32_t tile_tokens) {
    if (path == Path::kScalar) return {{}, team_shape(plan, path).teams, plan.registers.tile_tokens};
    require_path(plan, path);
    const auto choose = [tile_tokens](const auto& tile) {
        const auto halved = tile.halved();
        return constants_of(halved && tile_tokens <= halved->tile_tokens() ? *halved : tile);
    };
    return uses_matrices(path) ? choose(matrix_plan(plan, path).experts)
                               : choose(tile_plan(plan, path).experts);
}

MatmulTile dense_tile(const DevicePlan& plan, Path path, uint32_t n_rows, uint32_t n_tokens,
                      uint32_t core_count) {
    require_path(plan, path);
    if (core_count == 0) core_count = plan.core_count;
    return uses_matrices(path) ? choose_dense(matrix_plan(plan, path), core_count, n_rows, n_tokens)
                               : choose_dense(tile_plan(plan, path), core_count, n_rows, n_tokens);
}

}  // namespace vkmoe
