#pragma once

#include "kernels/linear_shape.h"

#include <cstdint>
#include <optional>

/// The kernels that a step's products with weights take. All of it is a function of the plan and of shapes,
/// so that tests see the weights that any device would read for any number of tokens.

namespace vkmoe {

/// The kernel for one matrix: of Op::kMatvec or Op::kMatmul. path: as if all kernels took it; else the
/// plan's.
Op dense_op(const DevicePlan& plan, TensorType type, uint32_t n_tokens, std::optional<Path> path = {});
/// How many tokens it multiplies each time that it reads the weights.
uint32_t dense_tile_tokens(const DevicePlan& plan, TensorType type, uint32_t n_rows, uint32_t n_tokens);

/// How pairs (token, slot) come to the matrices of their experts.
enum class ExpertForm : uint8_t {
    kPairs,      ///< one by one: each reads its expert's weights
    kRegisters,  ///< sorted by expert, in tiles of matmul/expert_matvec.comp
    kTiles,      ///< sorted by expert, in tiles of expert_matmul's kernels
};

/// The kernels of a form: of Op::kExpertMatvec or Op::kExpertMatmul.
constexpr Op expert_op(ExpertForm form) {
    return form == ExpertForm::kTiles ? Op::kExpertMatmul : Op::kExpertMatvec;
}

/// The experts of a layer.
struct ExpertLayerShape {
    TensorType gate_type = TensorType::kF32;
    TensorType up_type = TensorType::kF32;
    TensorType down_type = TensorType::kF32;
    uint32_t n_embedding = 0;
    uint32_t n_feed_forward = 0;
    uint32_t n_experts = 0;
    uint32_t n_used = 0;  ///< by a token

    uint64_t gate_up_bytes() const {  ///< of one expert
        return (row_bytes(gate_type, n_embedding) + row_bytes(up_type, n_embedding)) * n_feed_forward;
    }
    uint64_t down_bytes() const { return row_bytes(down_type, n_feed_forward) * n_embedding; }
};

struct ExpertChoice {
    ExpertForm gate_up = ExpertForm::kPairs;
    ExpertForm down = ExpertForm::kPairs;
    uint32_t tile_tokens = 0;  ///< of group_routes; 0: pairs need not be sorted
};
/// path: as dense_op has it.
ExpertChoice choose_experts(const DevicePlan& plan, const ExpertLayerShape& shape, uint32_t n_tokens,
                            std::optional<Path> path = {});

/// Bytes of experts' weights that the step reads, as expected of tokens that choose their experts at random.
double expert_bytes_read(const ExpertChoice& choice, const ExpertLayerShape& shape, uint32_t n_tokens);
/// How many experts such tokens choose.
double distinct_experts(const ExpertLayerShape& shape, uint32_t n_tokens);

}  // namespace vkmoe
