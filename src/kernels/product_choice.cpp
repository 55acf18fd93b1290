#include "kernels/product_choice.h"

#include "kernels/expert_matmul.h"

#include <algorithm>
#include <cmath>

namespace vkmoe {
namespace {

Path path_of(const DevicePlan& plan, Op op, TensorType type) {
    return require_kernel(plan, op, type).key.path;
}

/// How many tiles an expert's pairs are expected to fill: their number is distributed binomially.
double expected_tiles(const ExpertLayerShape& shape, uint32_t n_tokens, uint32_t tile_tokens) {
    const double chosen = static_cast<double>(shape.n_used) / shape.n_experts;
    if (chosen >= 1) return std::ceil(static_cast<double>(n_tokens) / tile_tokens);
    double probability = std::pow(1 - chosen, n_tokens);  // of exactly `n` pairs
    double tiles = 0;
    for (uint32_t n = 1; n <= n_tokens; ++n) {
        probability *= (n_tokens - n + 1.0) / n * chosen / (1 - chosen);
        tiles += probability * std::ceil(static_cast<double>(n) / tile_tokens);
    }
    return tiles;
}

}  // namespace

Op dense_op(const DevicePlan& plan, TensorType type, uint32_t n_tokens, std::optional<Path> path) {
    if (!path) path = path_of(plan, Op::kMatvec, type);
    return n_tokens <= most_matvec_tokens(plan, *path, type) ? Op::kMatvec : Op::kMatmul;
}

uint32_t dense_tile_tokens(const DevicePlan& plan, TensorType type, uint32_t n_rows, uint32_t n_tokens) {
    const Op op = dense_op(plan, type, n_tokens);
    const Path path = path_of(plan, op, type);
    if (op == Op::kMatvec) return matvec_batch_tokens(plan, path, type, n_tokens);
    return path == Path::kScalar ? register_tile_tokens(plan, n_tokens)
                                 : dense_tile(plan, path, {.n_rows = n_rows, .n_tokens = n_tokens}).tokens;
}

double distinct_experts(const ExpertLayerShape& shape, uint32_t n_tokens) {
    return shape.n_experts *
           (1 - std::pow(1 - static_cast<double>(shape.n_used) / shape.n_experts, n_tokens));
}

ExpertChoice choose_experts(const DevicePlan& plan, const ExpertLayerShape& shape, uint32_t n_tokens,
                            std::optional<Path> path) {
    const auto path_for = [&](Op op, TensorType type) { return path ? *path : path_of(plan, op, type); };
    const RegisterPlan& registers = plan.registers;
    const uint32_t n_pairs = n_tokens * shape.n_used;
    const bool is_scalar = path_for(Op::kExpertMatvec, shape.gate_type) == Path::kScalar;
    const auto register_tile = [&](uint32_t most_tokens) {
        for (const TensorType type : {shape.gate_type, shape.up_type, shape.down_type}) {
            // Gate's and up's sums are held together.
            const uint32_t n_matrices = shape.gate_type == shape.up_type && type == shape.gate_type ? 2 : 1;
            most_tokens = std::min(
                most_tokens, most_batch_tokens(plan, path_for(Op::kExpertMatvec, type), type) / n_matrices);
        }
        return batch_size_within(most_tokens);
    };
    if (n_tokens <= registers.few_tokens) {
        // Only expert_matvec_sum adds the experts of a token up as for one token.
        constexpr uint32_t kFewTileTokens = 4;  // an expert rarely gets more
        const uint32_t tile_tokens = register_tile(kFewTileTokens);
        const double saved =
            (n_pairs - distinct_experts(shape, n_tokens)) * static_cast<double>(shape.gate_up_bytes());
        if (is_scalar || tile_tokens == 1 || saved < static_cast<double>(registers.sorting_bytes)) return {};
        return {ExpertForm::kRegisters, ExpertForm::kPairs, tile_tokens};
    }
    // Of tiles that are half full on average few experts fill more than one.
    const uint32_t tile_tokens = register_tile(registers.expert_tile_tokens);
    if (!is_scalar &&
        (registers.all_experts || 2 * uint64_t{n_pairs} <= uint64_t{tile_tokens} * shape.n_experts))
        return {ExpertForm::kRegisters, ExpertForm::kRegisters, tile_tokens};
    const auto tiled_path = [&](TensorType type) { return path_for(Op::kExpertMatmul, type); };
    return {ExpertForm::kTiles, ExpertForm::kTiles,
            expert_tile_tokens(
                plan, {tiled_path(shape.gate_type), tiled_path(shape.up_type), tiled_path(shape.down_type)},
                n_pairs, shape.n_experts)};
}

double expert_bytes_read(const ExpertChoice& choice, const ExpertLayerShape& shape, uint32_t n_tokens) {
    const auto reads = [&](ExpertForm form) {  // of an expert's weights, of all experts together
        if (form == ExpertForm::kPairs) return static_cast<double>(n_tokens) * shape.n_used;
        return shape.n_experts * expected_tiles(shape, n_tokens, choice.tile_tokens);
    };
    return reads(choice.gate_up) * static_cast<double>(shape.gate_up_bytes()) +
           reads(choice.down) * static_cast<double>(shape.down_bytes());
}

}  // namespace vkmoe
