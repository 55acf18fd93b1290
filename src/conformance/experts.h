#pragma once

#include "conformance/activations.h"
#include "conformance/case_context.h"
#include "conformance/stored_matrix.h"
#include "kernels/expert_matmul.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vkmoe::conformance {

/// How pairs (token, slot) choose experts.
enum class Routing {
    kAny,      ///< several times one expert for a token, and experts that nobody chose, do occur
    kOne,      ///< all by one expert
    kInvalid,  ///< some ids name no expert
    kNobody,   ///< none names an expert
};
std::vector<uint32_t> random_ids(std::mt19937& random, uint32_t n_pairs, uint32_t n_experts, Routing routing);
std::string_view routing_name(Routing routing);

/// Experts of two matrices each, in device memory.
struct StoredExperts {
    ExpertTable table;
    std::array<uint64_t, 2> offsets{};
    std::vector<std::array<StoredMatrix, 2>> matrices;  // [n_experts]

    /// W[row, :] . x[x_row, :] of an expert's first or second matrix; of none: nothing is written.
    Expected product(uint32_t expert, size_t which, uint32_t row, const StoredActivations& x,
                     uint32_t x_row) const;
};

/// Records in random order with gaps of NaN, aligned no better than the type demands.
StoredExperts upload_experts(CaseContext& c, TensorType type, uint32_t n_experts, uint32_t n_rows,
                             uint32_t n_columns, Weights kind = Weights::kSane);

/// As upload_experts, for two experts whose records lie further apart than 4 GiB. CaseSkipped where the
/// device has not the memory for it.
StoredExperts upload_distant_experts(CaseContext& c, TensorType type, uint32_t n_rows, uint32_t n_columns);

/// What a case of an expert kernel is about.
struct ExpertShape {
    uint32_t n_experts = 1;
    uint32_t n_tokens = 1;
    uint32_t n_slots = 1;
    uint32_t n_rows = 1;
    uint32_t n_columns = 0;
    Routing routing = Routing::kAny;
    Numbers numbers = Numbers::kPlain;  ///< of the activations
    Weights weights = Weights::kSane;
    bool distant = false;  ///< as upload_distant_experts does it; there are two experts then

    uint32_t n_pairs() const { return n_tokens * n_slots; }
    std::string describe() const;
};
StoredExperts upload_experts(CaseContext& c, TensorType type, const ExpertShape& shape);

/// What the kernels over pairs (token, slot) read.
struct ExpertInputs {
    StoredExperts experts;
    std::vector<uint32_t> ids;  // [n_pairs]
    StoredActivations x;        // a row for each x_divisor pairs
    uint32_t x_divisor = 1;
};
ExpertInputs random_expert_inputs(CaseContext& c, const KernelKey& cell, const ExpertShape& shape,
                                  uint32_t x_divisor);

/// The arguments that expert_matvec and expert_matmul have alike; outputs are none of them.
template <typename Args>
Args expert_args(CaseContext& c, const KernelKey& cell, const ExpertShape& shape,
                 const ExpertInputs& inputs) {
    Args args;
    args.type = cell.type;
    args.experts = inputs.experts.table;
    if constexpr (requires { args.ids; }) args.ids = c.upload(inputs.ids).address;
    args.x = c.upload(inputs.x.bytes).address;
    args.first_offset = inputs.experts.offsets[0];
    args.second_offset = inputs.experts.offsets[1];
    args.n_rows = shape.n_rows;
    args.n_columns = shape.n_columns;
    args.n_pairs = shape.n_pairs();
    args.x_divisor = inputs.x_divisor;
    args.path = cell.path;
    return args;
}

/// The dispatches of group_pairs: over gate and up, over one matrix, and over gate and up with the
/// activation.
enum GroupedDispatch : uint32_t { kTwoMatrices, kOneMatrix, kGated };

/// Pairs as group_routes sorts them on the device for expert_matmul by a cell of it, or of expert_matvec.
GroupedRoutes group_pairs(CaseContext& c, const KernelKey& cell, const ExpertInputs& inputs,
                          const ExpertShape& shape, uint32_t tile_tokens);

/// Checks expert_matmul by a cell of it, or of expert_matvec, in tiles of so many tokens (0:
/// expert_tile_tokens): two matrices, one, and, where it can be, gated.
void check_sorted_pairs(CaseContext& c, const KernelKey& cell, const ExpertShape& shape,
                        uint32_t tile_tokens = 0);

}  // namespace vkmoe::conformance
