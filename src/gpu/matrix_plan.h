#pragma once

#include "gpu/caps.h"
#include "gpu/path.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vkmoe {

/// A tile of a cooperative-matrix kernel (shaders/matmul/coopmat_tile.glsl): teams of invocations, each with
/// row_matrices x token_matrices matrices of m x n sums, to which products of k columns are added.
struct MatrixTile {
    uint32_t m = 0;
    uint32_t n = 0;
    uint32_t k = 0;
    uint32_t row_matrices = 0;
    uint32_t token_matrices = 0;
    uint32_t row_teams = 0;
    uint32_t token_teams = 0;
    uint32_t workgroup_size = 0;   ///< invocations
    bool workgroup_scope = false;  ///< the only team is the workgroup; else a team is a subgroup
    uint32_t step_runs = 2;        ///< runs of 32 columns that are staged between two barriers
    bool bytes_as_halves = false;  ///< float16 weights by the bits of their bytes, not by conversion

    uint32_t tile_rows() const { return m * row_matrices * row_teams; }
    uint32_t tile_tokens() const { return n * token_matrices * token_teams; }
    std::vector<uint32_t> constants() const;  ///< the kernel's specialization constants
    /// With half of the tokens, by fewer teams where there are; none where that leaves less than a matrix for
    /// a subgroup.
    std::optional<MatrixTile> halved() const;

    bool operator==(const MatrixTile&) const = default;
};

/// Decoding the weights of a tile costs as much as this many more tokens: by the clocks of a SIMD for 65,536
/// products of Q4_K, 600, 660, 790 and 830 for 64 x 128, 64 x 64, 64 x 32 and 32 x 32 (rows x tokens), by
/// Mesa 26.2.6's code for Navi 31.
inline constexpr double kUsualDecoding = 16.0;

/// How a path of cooperative matrices is used on a device, or why it cannot be.
struct MatrixPlan {
    MatrixTile dense;                  ///< for one matrix and all tokens
    std::vector<MatrixTile> others;    ///< for one matrix of few rows, and for few or very many tokens
    MatrixTile experts;                ///< for tokens grouped by expert: fewer of them, so more rows
    double decoding = kUsualDecoding;  ///< in tokens
    std::string missing;               ///< "the feature shaderFloat16"; empty where the path can be used

    /// Of all types of weights, the most that a tile stages and hands over in shared memory: bytes.
    static uint32_t shared_memory(Path path, const MatrixTile& tile, bool experts);
};

/// A pure function of the caps. subgroup_size: what pipelines will have; 0 where it cannot be relied on.
MatrixPlan plan_matrices(const DeviceCaps& caps, uint32_t subgroup_size, Path path);

}  // namespace vkmoe
