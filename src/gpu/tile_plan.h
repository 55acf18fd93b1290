#pragma once

#include "gpu/caps.h"
#include "gpu/path.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace vkmoe {

/// A tile of matmul/tile.glsl: each invocation holds rows x tokens sums in registers; weights and activations
/// are staged in shared memory.
struct StagedTile {
    uint32_t workgroup_size = 0;  ///< invocations
    uint32_t rows = 0;            ///< of an invocation
    uint32_t tokens = 0;          ///< of an invocation
    uint32_t row_lanes = 0;       ///< invocations along the rows; the others lie along the tokens
    uint32_t words = 0;           ///< of the 8 of a run that are unrolled

    uint32_t tile_rows() const { return rows * row_lanes; }
    uint32_t tile_tokens() const { return tokens * (workgroup_size / row_lanes); }
    std::vector<uint32_t> constants() const {  ///< the kernel's specialization constants
        return {workgroup_size, rows, tokens, row_lanes, words};
    }

    std::optional<StagedTile> halved() const {  ///< with half of the tokens
        StagedTile tile = *this;
        tile.tokens /= 2;
        return tile;
    }

    bool operator==(const StagedTile&) const = default;
};

/// The tiles of a path without cooperative matrices.
struct TilePlan {
    StagedTile dense;                ///< for one matrix and all tokens
    StagedTile experts;              ///< for tokens grouped by expert
    std::vector<StagedTile> others;  ///< for one matrix of few rows, and for few tokens

    /// Of all types of weights, the most that a tile stages in shared memory: bytes.
    static uint32_t shared_memory(Path path, const StagedTile& tile);
};

/// A pure function of the caps. path: dot4 or subgroup.
TilePlan plan_tiles(const DeviceCaps& caps, Path path);

}  // namespace vkmoe
