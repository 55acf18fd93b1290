#include "kernels/linear_shape.h"

#include "base/error.h"
#include "kernels/activation.h"
#include "kernels/grid.h"
#include "kernels/matvec.h"

#include <algorithm>
#include <iterator>
#include <limits>

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
    constexpr uint32_t kScalarSums = 12;  // a CPU has 16 vector registers
    if (path == Path::kScalar)
        return {registers.scalar_workgroup, registers.scalar_workgroup, registers.scalar_rows, kScalarSums,
                0};
    return {plan.workgroup_size, std::max(1u, plan.workgroup_size / plan.team_subgroup_size), 2,
            registers.most_sums, registers.shared_tables ? 1u : 0u};
}

uint32_t row_groups(const TeamShape& shape, uint32_t n_rows, uint32_t rows_per_team) {
    return divide_up(n_rows, shape.teams * rows_per_team);
}

namespace {

constexpr uint32_t kBatchSizes[] = {
    1, 2, 3, 4, 6, 8, 10, 12, kMaxMatvecTokens};  // few, so that pipelines are

/// Whether CHUNK_RUNS of shaders/quant is more than 1, for types without small groups.
bool has_wide_chunks(TensorType type) {
    using enum TensorType;
    return type == kQ4_K || type == kQ5_K || type == kTQ1_0 || type == kTQ2_0 || type == kQ1_0 ||
           type == kQ2_0;
}

bool has_small_groups(TensorType type) {
    using enum TensorType;
    return type == kQ3_K || type == kQ6_K || type == kNVFP4;
}

}  // namespace

uint32_t most_batch_tokens(const DevicePlan& plan, Path path, TensorType type) {
    const BatchTokens& batch = plan.registers.batch;
    if (path == Path::kScalar) return kMaxScalarTokens;
    if (type == TensorType::kQ2_K) return batch.q2_k;
    if (has_small_groups(type)) return batch.small_groups;
    return has_wide_chunks(type) ? batch.wide_chunks : batch.usual;
}

uint32_t batch_size_within(uint32_t n_tokens) {
    return *std::prev(std::ranges::upper_bound(kBatchSizes, n_tokens));
}

uint32_t matvec_batch_tokens(const DevicePlan& plan, Path path, TensorType type, uint32_t n_tokens) {
    const uint32_t most = most_batch_tokens(plan, path, type);
    return *std::ranges::lower_bound(kBatchSizes, divide_up(n_tokens, divide_up(n_tokens, most)));
}

uint32_t most_matvec_tokens(const DevicePlan& plan, Path path, TensorType type) {
    if (path == Path::kScalar) return plan.registers.few_tokens;
    return std::max(plan.registers.dense_tokens, most_batch_tokens(plan, path, type));
}

uint32_t register_tile_tokens(const DevicePlan& plan, uint32_t n_tokens) {
    // Decoding costs about as much as this many more tokens. lavapipe 26.2.6, Q4_K.
    constexpr uint64_t kDecoding = 3;
    uint32_t best = 1;
    uint64_t least = UINT64_MAX;
    for (const uint32_t size : kBatchSizes) {
        if (size > plan.registers.tile_tokens) break;
        const uint64_t n_tiles = divide_up(n_tokens, size);
        const uint64_t cost = n_tiles * (size + kDecoding);
        if (cost > least) continue;  // of equals the one that reads the weights less often
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

/// With fewer, a core waits for the slowest of the others, or has nothing to do while it loads.
constexpr uint64_t kGroupsPerCore = 2;

/// The cost of each of a tile's products: weights are decoded once for the tokens (kUsualDecoding has the
/// figures), tokens are staged for the rows, and sums of parts are added up.
double cost_of_product(const MatmulTile& tile, double decoding) {
    constexpr double kStaging = 4.0;
    constexpr double kPart = 0.1;  // 8 bytes a sum, written and read, where 2048 columns take 1152 of Q4_K
    return (1 + decoding / tile.tokens + kStaging / tile.rows) * (1 + kPart * (tile.parts - 1));
}

/// The plan's tiles for one matrix.
template <typename Plan>
std::vector<MatmulTile> dense_tiles(const Plan& tiles) {
    std::vector<MatmulTile> all{constants_of(tiles.dense)};
    for (const auto& other : tiles.others) all.push_back(constants_of(other));
    return all;
}

/// The best of the tiles and of the parts of the columns.
MatmulTile choose_dense(const std::vector<MatmulTile>& tiles, double decoding, const DenseShape& shape) {
    const uint64_t wanted = kGroupsPerCore * shape.core_count;
    MatmulTile best;
    double least = std::numeric_limits<double>::infinity();
    for (MatmulTile tile : tiles) {
        const uint64_t groups =
            uint64_t{divide_up(shape.n_rows, tile.rows)} * divide_up(shape.n_tokens, tile.tokens);
        tile.parts =
            static_cast<uint32_t>(std::min<uint64_t>((wanted + groups - 1) / groups, shape.most_parts));
        // As many products as the device has room for at a time, if there are fewer.
        const double products =
            static_cast<double>(std::max(groups, wanted / tile.parts)) * tile.rows * tile.tokens;
        const double cost = products * cost_of_product(tile, decoding);
        if (cost >= least) continue;
        least = cost;
        best = std::move(tile);
    }
    return best;
}

/// Of a path other than scalar.
std::vector<MatmulTile> dense_tiles(const DevicePlan& plan, Path path) {
    return uses_matrices(path) ? dense_tiles(matrix_plan(plan, path)) : dense_tiles(tile_plan(plan, path));
}

}  // namespace

MatmulTile expert_tile(const DevicePlan& plan, Path path, uint32_t tile_tokens) {
    if (path == Path::kScalar) return {{}, team_shape(plan, path).teams, plan.registers.tile_tokens};
    require_path(plan, path);
    const auto choose = [tile_tokens](auto tile) {
        constexpr uint32_t kLeastTokens = 16;
        for (auto halved = tile.halved(); halved; halved = tile.halved()) {
            if (tile_tokens > halved->tile_tokens() || halved->tile_tokens() < kLeastTokens) break;
            tile = *halved;
        }
        return constants_of(tile);
    };
    return uses_matrices(path) ? choose(matrix_plan(plan, path).experts)
                               : choose(tile_plan(plan, path).experts);
}

MatmulTile dense_tile(const DevicePlan& plan, Path path, const DenseShape& shape) {
    require_path(plan, path);
    DenseShape on_device = shape;
    if (shape.core_count == 0) on_device.core_count = plan.core_count;
    const double decoding = uses_matrices(path) ? matrix_plan(plan, path).decoding : kUsualDecoding;
    return choose_dense(dense_tiles(plan, path), decoding, on_device);
}

uint64_t split_sums_bytes(const DevicePlan& plan) {
    if (plan.core_count == 1) return 0;
    uint64_t most_sums = 0;
    for (const Path path : plan.tile_order) {
        if (path == Path::kScalar) continue;
        for (const MatmulTile& tile : dense_tiles(plan, path))
            most_sums = std::max(most_sums, uint64_t{tile.rows} * tile.tokens);
    }
    // Fewer groups than are wanted, split into no more parts than come to that many: less than twice as many.
    return 2 * kGroupsPerCore * plan.core_count * most_sums * sizeof(float);
}

}  // namespace vkmoe
