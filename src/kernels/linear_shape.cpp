#include "kernels/linear_shape.h"

#include "base/error.h"
#include "kernels/activation.h"

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
        return {registers.scalar_workgroup, registers.scalar_workgroup, registers.scalar_rows};
    return {plan.workgroup_size, std::max(1u, plan.workgroup_size / plan.subgroup_size), 2};
}

uint32_t row_groups(const TeamShape& shape, uint32_t n_rows, uint32_t rows_per_team) {
    uint32_t rows_per_group = shape.teams * rows_per_team;
    return n_rows / rows_per_group + (n_rows % rows_per_group != 0);
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
        const uint64_t n_tiles = (uint64_t{n_tokens} + size - 1) / size;
        const uint64_t cost = n_tiles * (size + kDecoding);
        if (cost >= least) continue;
        least = cost;
        best = size;
    }
    return best;
}

MatmulTile matmul_tile(const DevicePlan& plan, Path path, TileUse use) {
    if (path == Path::kScalar) return {{}, team_shape(plan, path).teams, plan.registers.tile_tokens};
    if (!uses_matrices(path)) {
        // 64 invocations, 8 along the rows, with 4 x 4 sums each: a tile of 32 x 32, which needs 10 KiB of
        // shared memory on dot4 and 16 KiB on float32 for types with chunks of 64. Both fit every Vulkan
        // device (16 KiB is the least allowed).
        return {{64, 4, 4, 8}, 32, 32};
    }
    if (!plan.takes(path)) {
        const std::string& missing = missing_for(plan, path);
        fail(ErrorCode::kUnsupported, "path {} is not used on this device: {}", path_name(path),
             missing.empty() ? "VKMOE_PATH selects another path" : "it lacks " + missing);
    }
    const MatrixPlan& matrices = matrix_plan(plan, path);
    const MatrixTile& tile = use == TileUse::kExperts ? matrices.experts : matrices.dense;
    return {tile.constants(), tile.tile_rows(), tile.tile_tokens()};
}

}  // namespace vkmoe
