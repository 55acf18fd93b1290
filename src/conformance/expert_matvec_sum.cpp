#include "kernels/expert_matvec_sum.h"

#include "conformance/experts.h"
#include "conformance/matrix_product.h"
#include "conformance/op_cases.h"

#include <cmath>

namespace vkmoe::conformance {
namespace {

/// A slot whose id names no expert adds nothing.
void add_slot(Expected& sum, double weight, const Expected& product) {
    if (!product.written) return;
    sum.value += weight * product.value;
    // A product is formed before it is weighted: where it may overflow, a small weight does not help.
    constexpr double kMayOverflow = 1e38;
    sum.magnitude += (product.magnitude < kMayOverflow ? std::abs(weight) : 1) * product.magnitude;
    sum.floor += (1 + std::abs(weight)) * product.floor;
}

void check(CaseContext& c, const KernelKey& cell, const ExpertShape& shape, Residual residual_kind) {
    ExpertInputs inputs = random_expert_inputs(c, cell, shape, 1);
    const StoredExperts& experts = inputs.experts;
    std::vector<float> weights = random_activations(c.random(), shape.n_tokens, shape.n_slots);
    const bool weighted = random_below(c.random(), 4) != 0;
    if (!weighted) weights.assign(weights.size(), 1.0f);
    // Nobody wrote what a slot of no expert would read.
    const size_t x_bytes = inputs.x.bytes.size() / inputs.ids.size();
    for (size_t p = 0; p < inputs.ids.size(); ++p) {
        if (inputs.ids[p] < experts.table.n_experts) continue;
        weights[p] = kNan;
        std::fill_n(inputs.x.bytes.begin() + static_cast<std::ptrdiff_t>(p * x_bytes), x_bytes,
                    std::byte{0xFF});
    }
    const std::vector<float> residual = random_activations(c.random(), shape.n_tokens, shape.n_rows);

    ExpertMatvecSumArgs args;
    args.type = cell.type;
    args.experts = experts.table;
    args.ids = c.upload(inputs.ids).address;
    if (weighted) args.weights = c.upload(weights).address;
    args.x = c.upload(inputs.x.bytes).address;
    auto y = c.output<float>(residual.size());
    args.y = y.address();
    args.residual = place_residual(c, residual_kind, residual, y);
    args.offset = experts.offsets[0];
    args.n_rows = shape.n_rows;
    args.n_columns = shape.n_columns;
    args.n_tokens = shape.n_tokens;
    args.n_slots = shape.n_slots;
    args.path = cell.path;
    c.run({expert_matvec_sum(c.kernels(), args)});

    std::vector<Expected> expected;
    for (uint32_t t = 0; t < shape.n_tokens; ++t) {
        for (uint32_t r = 0; r < shape.n_rows; ++r) {
            Expected sum;
            if (residual_kind != Residual::kNone) sum.value = residual[size_t{t} * shape.n_rows + r];
            sum.magnitude = std::abs(sum.value);
            for (uint32_t p = t * shape.n_slots; p < (t + 1) * shape.n_slots; ++p)
                add_slot(sum, weights[p], experts.product(inputs.ids[p], 0, r, inputs.x, p));
            expected.push_back(sum);
        }
    }
    check_numbers(fmt::format("{}, residual {}", shape.describe(), static_cast<int>(residual_kind)), expected,
                  y.read(), product_tolerance(cell.path));
}

void every_routing(CaseContext& c, const KernelKey& cell) {
    const std::vector<uint32_t> columns = test_columns(c.random(), cell.type);
    size_t turn = 0;
    for (ExpertShape shape :
         {ExpertShape{1, 1, 1, 257}, ExpertShape{5, 3, 4, 33}, ExpertShape{5, 3, 4, 31, 0, Routing::kInvalid},
          ExpertShape{64, 2, 8, 9, 256, Routing::kInvalid}, ExpertShape{64, 1, 8, 3, 256},
          ExpertShape{5, 7, 2, 1, 0, Routing::kOne}, ExpertShape{3, 2, 2, 7, 0, Routing::kNobody}}) {
        if (shape.n_columns == 0) shape.n_columns = columns[turn % columns.size()];
        check(c, cell, shape, static_cast<Residual>(turn++ % 3));
    }
}

void every_width(CaseContext& c, const KernelKey& cell) {
    for (uint32_t n_columns : test_columns(c.random(), cell.type))
        check(c, cell, {3, 2, 3, 7, n_columns}, random_residual(c.random()));
}

void most_experts(CaseContext& c, const KernelKey& cell) {
    check(c, cell, {512, 2, 32, 3, column_unit(cell.type)}, Residual::kInPlace);
}

void special(CaseContext& c, const KernelKey& cell, Numbers numbers, Weights weights) {
    check(c, cell, {5, 3, 4, 35, 256, Routing::kAny, numbers, weights}, Residual::kApart);
}

void distant(CaseContext& c, const KernelKey& cell) {
    ExpertShape shape{2, 2, 4, 33, 256};
    shape.distant = true;
    check(c, cell, shape, Residual::kNone);
}

}  // namespace

std::vector<Case> expert_matvec_sum_cases(const KernelKey& cell, Depth depth) {
    std::vector<Case> cases = {
        {"every routing", [=](CaseContext& c) { every_routing(c, cell); }},
        {"512 experts, 32 slots", [=](CaseContext& c) { most_experts(c, cell); }},
    };
    add_special_number_cases(cases, cell, special);
    if (depth == Depth::kQuick) return cases;
    if (column_unit(cell.type) == 32)
        cases.push_back({"more rows than a grid is high", [=](CaseContext& c) {
                             check(c, cell, {5, 65537, 1, 2, 32}, Residual::kNone);
                         }});
    cases.push_back({"every number of columns", [=](CaseContext& c) { every_width(c, cell); }});
    cases.push_back({"records beyond 4 GiB", [=](CaseContext& c) { distant(c, cell); }});
    return cases;
}

}  // namespace vkmoe::conformance
