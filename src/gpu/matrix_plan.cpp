#include "gpu/matrix_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace vkmoe {
namespace {

constexpr uint32_t kRunColumns = 32;  // what kernels stage at least, so k must divide it

// Sizes that no GPU has been measured with: 32 x 32 sums a subgroup are 32 registers for each of 32 lanes,
// and every staged row is read by two subgroups of the four (dense), every token by all four (experts).
constexpr uint32_t kTeamRows = 32;
constexpr uint32_t kTeams = 4;

/// Sums of a subgroup with fewer lanes, which CPUs and Intel's GPUs before Xe2 have. A driver of a CPU makes
/// one loop of all of them: larger ones took lavapipe half a minute to compile.
constexpr uint32_t kNarrowSubgroup = 16;
constexpr uint32_t kNarrowTeam = 16;

/// kUsualDecoding of 16 lanes: clocks for 65,536 products of Q4_K, 950, 777, 712 and 688 for 64 x 64, 64 x
/// 128, 32 x 256 and 64 x 256 (rows x tokens), by Mesa 26.2.6's code for Battlemage.
constexpr double kNarrowDecoding = 39.0;

/// What the caps must have beside a shape; empty: they have it.
std::string missing_feature(const DeviceCaps& caps, uint32_t subgroup_size, Path path) {
    const MatrixCaps& matrices = caps.matrices;
    if (!caps.has_extension("VK_KHR_cooperative_matrix")) return "the extension VK_KHR_cooperative_matrix";
    if (!matrices.cooperative_matrix) return "the feature cooperativeMatrix";
    if (!matrices.in_compute) return "cooperative matrices in compute shaders";
    // Shaders with cooperative matrices are of the Vulkan memory model. Once it is enabled, atomic operations
    // of all other shaders want the other feature too.
    if (!caps.vulkan_memory_model) return "the feature vulkanMemoryModel";
    if (!caps.vulkan_memory_model_device_scope) return "the feature vulkanMemoryModelDeviceScope";
    if (path == Path::kCoopmatInt8 ? !caps.int8 : !caps.float16)
        return path == Path::kCoopmatInt8 ? "the feature shaderInt8" : "the feature shaderFloat16";
    if (!caps.full_subgroups) return "the feature computeFullSubgroups";
    if (subgroup_size == 0) return "a fixed subgroup size (the feature subgroupSizeControl)";
    if (path != Path::kCoopmat2) return {};
    if (!caps.has_extension("VK_NV_cooperative_matrix2")) return "the extension VK_NV_cooperative_matrix2";
    if (!matrices.flexible_dimensions) return "the feature cooperativeMatrixFlexibleDimensions";
    if (!matrices.per_element_operations) return "the feature cooperativeMatrixPerElementOperations";
    return {};
}

bool fits(const MatrixShapeCaps& shape, Path path) {
    const bool int8 = path == Path::kCoopmatInt8;
    const MatrixElement operand = int8 ? MatrixElement::kInt8 : MatrixElement::kFloat16;
    const MatrixElement sum = int8 ? MatrixElement::kInt32 : MatrixElement::kFloat32;
    return shape.a == operand && shape.b == operand && shape.c == sum && shape.result == sum &&
           !shape.saturating && !shape.other_scope && shape.m != 0 && shape.n != 0 && shape.k >= 8 &&
           kRunColumns % shape.k == 0;
}

/// Whether a float16 is an operand of a float32 multiply-add. Clocks of a SIMD for 65,536 products of Q4_K by
/// experts, by Mesa 26.2.6's code for Navi 31: 724 with bytes as halves, 791 with integers that are
/// converted. NVIDIA's and Intel's compilers convert each float16 as well.
bool has_mixed_multiply_add(const DeviceCaps& caps) {
    return caps.vendor_id == kAmd;
}

/// Rows and tokens of a subgroup's sums, and how many subgroups share a tile.
struct Team {
    uint32_t rows;
    uint32_t tokens;
    uint32_t dense_teams;
};

Team team_of(uint32_t subgroup_size) {
    if (subgroup_size < kNarrowSubgroup) return {kNarrowTeam, kNarrowTeam, kTeams};
    // With 16 lanes, 32 x 32 sums would take 64 registers of each. Tokens rather than rows, for each weight
    // is decoded for all of the tokens: 510 instructions of a subgroup for 32,768 products of Q4_K, by
    // Mesa 26.2.6's code for Battlemage, where 32 rows by 16 tokens take 1314.
    if (subgroup_size < 32) return {kTeamRows / 2, kTeamRows, 2 * kTeams};
    return {kTeamRows, kTeamRows, kTeams};
}

/// Tiles to try, best first, of subgroups with matrices of the device's shape.
std::vector<MatrixTile> subgroup_tiles(const MatrixShapeCaps& shape, uint32_t subgroup_size, bool experts) {
    std::vector<MatrixTile> tiles;
    const Team team = team_of(subgroup_size);
    for (uint32_t tokens = team.tokens; tokens >= 16; tokens /= 2) {
        for (uint32_t teams = experts ? kTeams : team.dense_teams; teams >= 1; teams /= 2) {
            MatrixTile tile;
            tile.m = shape.m;
            tile.n = shape.n;
            tile.k = shape.k;
            tile.row_matrices = std::max(team.rows / shape.m, 1u);
            tile.token_matrices = std::max(tokens / shape.n, 1u);
            // On DG2, whose subgroups have 8 lanes, tiles of 32 x 32 spill 3, of 64 x 16 none.
            tile.token_teams = experts || teams == 1 || subgroup_size < kNarrowSubgroup ? 1 : 2;
            tile.row_teams = teams / tile.token_teams;
            tile.workgroup_size = teams * subgroup_size;
            tiles.push_back(tile);
        }
    }
    return tiles;
}

/// The same tiles with one matrix a subgroup, for shapes whose dimensions may be multiples of what is listed.
std::vector<MatrixTile> flexible_subgroup_tiles(const MatrixShapeCaps& shape, uint32_t subgroup_size,
                                                bool experts) {
    std::vector<MatrixTile> tiles = subgroup_tiles(shape, subgroup_size, experts);
    for (MatrixTile& tile : tiles) {
        tile.m *= std::exchange(tile.row_matrices, 1);
        tile.n *= std::exchange(tile.token_matrices, 1);
        tile.k = subgroup_size < kNarrowSubgroup ? shape.k : kRunColumns;
    }
    return tiles;
}

std::vector<MatrixTile> workgroup_tiles(const MatrixShapeCaps& shape, bool experts) {
    std::vector<MatrixTile> tiles;
    for (uint32_t rows = shape.workgroup_invocations / (experts ? 1 : 2); rows >= 16; rows /= 2) {
        MatrixTile tile;
        tile.m = (rows + shape.m - 1) / shape.m * shape.m;
        tile.n = ((experts ? 32 : 64) + shape.n - 1) / shape.n * shape.n;
        tile.k = kRunColumns;
        tile.row_matrices = tile.token_matrices = tile.row_teams = tile.token_teams = 1;
        tile.workgroup_size = shape.workgroup_invocations;
        tile.workgroup_scope = true;
        tiles.push_back(tile);
    }
    return tiles;
}

/// The listed shape to use: where there are several, the largest product an instruction.
std::optional<MatrixShapeCaps> fixed_shape(const MatrixCaps& caps, Path path) {
    std::optional<MatrixShapeCaps> best;
    for (const MatrixShapeCaps& shape : caps.shapes) {
        if (!fits(shape, path) || shape.workgroup_scope) continue;
        if (!best || shape.m * shape.n * shape.k > best->m * best->n * best->k) best = shape;
    }
    return best;
}

/// Matrices of a whole workgroup, of at most 256 invocations so that several fit a processor; else of a
/// subgroup.
std::optional<MatrixShapeCaps> flexible_shape(const DeviceCaps& caps, uint32_t subgroup_size) {
    std::optional<MatrixShapeCaps> best;
    const MatrixCaps& matrices = caps.matrices;
    const uint32_t most = std::min({matrices.max_workgroup_size, caps.max_workgroup_invocations, 256u});
    for (const MatrixShapeCaps& shape : matrices.flexible_shapes) {
        if (!fits(shape, Path::kCoopmat2)) continue;
        if (shape.workgroup_scope &&
            (!matrices.workgroup_scope || shape.workgroup_invocations == 0 ||
             shape.workgroup_invocations > most || shape.workgroup_invocations % subgroup_size != 0))
            continue;
        const bool better = !best || (shape.workgroup_scope && !best->workgroup_scope) ||
                            (shape.workgroup_scope == best->workgroup_scope &&
                             shape.workgroup_invocations > best->workgroup_invocations);
        if (better) best = shape;
    }
    return best;
}

/// A tile with twice the tokens, for which each weight is decoded once.
MatrixTile doubled(const MatrixTile& narrow, uint32_t subgroup_size) {
    MatrixTile tile = narrow;
    // 16 lanes have no registers for it: 115 to 143 spills by Mesa 26.2.6's code for Battlemage.
    if (subgroup_size < 32) {
        tile.token_teams *= 2;
        tile.workgroup_size *= 2;
    } else {
        tile.token_matrices *= 2;
    }
    return tile;
}

/// Twice the tokens for half of the rows, in one and a half times the shared memory.
MatrixTile lengthened(const MatrixTile& wide) {
    MatrixTile tile = wide;
    tile.token_teams *= 2;
    tile.row_teams /= 2;
    return tile;
}

/// A tile with a half of the tokens, with half of the rows as well, and with the least tokens, where
/// subgroups still have a matrix each.
std::vector<MatrixTile> smaller_tiles(const MatrixTile& dense) {
    std::vector<MatrixTile> tiles;
    MatrixTile tile = dense;
    if (tile.token_matrices % 2 == 0) {
        tile.token_matrices /= 2;
        tiles.push_back(tile);
    }
    if (tile.row_matrices % 2 == 0) {
        tile.row_matrices /= 2;
        tiles.push_back(tile);
    }
    if (tile.token_teams > 1) {
        tile.row_teams *= std::exchange(tile.token_teams, 1);
        tiles.push_back(tile);
    }
    return tiles;
}

std::vector<MatrixTile> tiles_of(const MatrixShapeCaps& shape, uint32_t subgroup_size, Path path,
                                 bool experts) {
    if (path != Path::kCoopmat2) return subgroup_tiles(shape, subgroup_size, experts);
    if (shape.workgroup_scope) return workgroup_tiles(shape, experts);
    return flexible_subgroup_tiles(shape, subgroup_size, experts);
}

}  // namespace

std::vector<uint32_t> MatrixTile::constants() const {
    constexpr uint32_t kWorkgroupScope = 2;  // as SPIR-V numbers them
    constexpr uint32_t kSubgroupScope = 3;
    return {workgroup_size,
            m,
            n,
            k,
            row_matrices,
            token_matrices,
            row_teams,
            token_teams,
            workgroup_scope ? kWorkgroupScope : kSubgroupScope,
            step_runs,
            bytes_as_halves};
}

std::optional<MatrixTile> MatrixTile::halved() const {
    MatrixTile tile = *this;
    if (token_teams % 2 == 0) {
        tile.token_teams /= 2;
        tile.workgroup_size /= 2;
    } else if (token_matrices % 2 == 0) {
        tile.token_matrices /= 2;
    } else {
        return std::nullopt;
    }
    return tile;
}

uint32_t MatrixPlan::shared_memory(Path path, const MatrixTile& tile, bool experts) {
    // As the shaders declare them, for types with the most scales.
    const uint32_t runs = tile.step_runs;
    constexpr uint32_t kVector = 16;
    const uint32_t rows = tile.tile_rows();
    const uint32_t tokens = tile.tile_tokens();
    // Sums are handed over where weights were, those of gate and up together.
    const uint32_t matrices = tile.row_teams * tile.token_teams * (experts ? 2 : 1);
    const uint32_t sums = path == Path::kCoopmat2 ? 0 : matrices * tile.m * tile.n * 4;
    if (path != Path::kCoopmatInt8) {
        const uint32_t row = (runs * 4 + 1) * kVector;
        return std::max(rows * row, sums) + rows * 12 + tokens * (row + 12) + kVector;
    }
    // With scales of half runs and, where k is wider than a half, a copy of the weights for each.
    const uint32_t run_vectors = tile.k < 16 ? 8 / (tile.k / 4) : 2;
    const uint32_t weight_vectors = tile.k > 16 ? run_vectors * 2 : run_vectors;
    return std::max(rows * ((runs * weight_vectors) | 1) * kVector, sums) + rows * (runs * 2 * 8 + 8) +
           tokens * (((runs * run_vectors) | 1) * kVector + runs * 4 + runs * 2 * 4 + 8);
}

MatrixPlan plan_matrices(const DeviceCaps& caps, uint32_t subgroup_size, Path path) {
    MatrixPlan plan;
    plan.missing = missing_feature(caps, subgroup_size, path);
    if (!plan.missing.empty()) return plan;
    const std::optional<MatrixShapeCaps> shape =
        path == Path::kCoopmat2 ? flexible_shape(caps, subgroup_size) : fixed_shape(caps.matrices, path);
    if (!shape) {
        plan.missing = path == Path::kCoopmatInt8 ? "a matrix shape with int8 operands and int32 accumulators"
                       : path == Path::kCoopmat
                           ? "a matrix shape with float16 operands and float32 accumulators"
                           : "flexible matrices with float16 operands and float32 accumulators";
        return plan;
    }
    const uint32_t reserved = shape->workgroup_scope ? caps.matrices.reserved_shared_memory : 0;
    uint32_t least = 0;
    const auto fits_device = [&](const MatrixTile& tile, bool experts) {
        const uint32_t subgroups = tile.workgroup_size / subgroup_size;
        if (tile.workgroup_size > std::min(caps.max_workgroup_invocations, caps.max_workgroup_size[0]) ||
            (caps.max_subgroups_per_workgroup != 0 && subgroups > caps.max_subgroups_per_workgroup))
            return false;
        if (path == Path::kCoopmat2 &&
            std::max({tile.m, tile.n, tile.k}) > caps.matrices.max_flexible_dimension)
            return false;
        least = MatrixPlan::shared_memory(path, tile, experts) + reserved;
        return least <= caps.max_shared_memory;
    };
    const auto choose = [&](bool experts) {
        for (MatrixTile tile : tiles_of(*shape, subgroup_size, path, experts)) {
            tile.bytes_as_halves = has_mixed_multiply_add(caps);
            if (fits_device(tile, experts)) return tile;
        }
        return MatrixTile{};
    };
    plan.dense = choose(false);
    plan.experts = choose(true);
    if (plan.dense.m == 0 || plan.experts.m == 0) {
        plan.missing =
            least > caps.max_shared_memory
                ? fmt::format("{} bytes of shared memory for its smallest tile (the device has {})", least,
                              caps.max_shared_memory)
                : std::string("a tile that fits the workgroup and matrix limits");
        return plan;
    }
    // A CPU has few cores to fill, and takes a second or two to compile a tile.
    if (caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU) return plan;
    plan.others = smaller_tiles(plan.dense);
    std::erase_if(plan.others, [&](const MatrixTile& tile) { return !fits_device(tile, false); });
    if (path == Path::kCoopmat2) return plan;  // with matrices of other shapes no compiler was seen
    // With 8 lanes, on matrices of 8 columns, sums by 64 tokens spill 1 with F16, BF16 and 7 other types, by
    // Mesa 26.2.6's code for DG2.
    if (subgroup_size < kNarrowSubgroup) return plan;
    if (subgroup_size < 32) plan.decoding = kNarrowDecoding;
    if (const MatrixTile wide = doubled(plan.dense, subgroup_size); fits_device(wide, false)) {
        plan.others.push_back(wide);
        if (subgroup_size < 32 && wide.row_teams % 2 == 0 && fits_device(lengthened(wide), false))
            plan.others.push_back(lengthened(wide));
    }
    if (const MatrixTile wide = doubled(plan.experts, subgroup_size); fits_device(wide, true))
        plan.experts = wide;
    return plan;
}

}  // namespace vkmoe
