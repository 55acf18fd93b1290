#include "kernels/expert_matvec.h"

#include "conformance/experts.h"
#include "conformance/matrix_product.h"
#include "conformance/op_cases.h"

namespace vkmoe::conformance {
namespace {

void check(CaseContext& c, const KernelKey& cell, const ExpertShape& shape, bool is_gated) {
    const bool token_rows = random_bool(c.random());  // one row of activations a token, else one a pair
    const uint32_t divisor = token_rows ? shape.n_slots : 1;
    const uint32_t n_pairs = shape.n_pairs();
    const ExpertInputs inputs = random_expert_inputs(c, cell, shape, divisor);

    auto args = expert_args<ExpertMatvecArgs>(c, cell, shape, inputs);
    auto y = c.output<float>(size_t{n_pairs} * shape.n_rows);
    args.y = y.address();
    args.gated = is_gated;
    c.run({expert_matvec(c.kernels(), args)});

    std::vector<Expected> expected;
    for (uint32_t p = 0; p < n_pairs; ++p) {
        for (uint32_t r = 0; r < shape.n_rows; ++r) {
            const auto product = [&](size_t which) {
                return inputs.experts.product(inputs.ids[p], which, r, inputs.x, p / divisor);
            };
            expected.push_back(is_gated ? gated(product(0), product(1)) : product(0));
        }
    }
    check_numbers(fmt::format("{}, a row of activations a {}{}", shape.describe(),
                              token_rows ? "token" : "pair", is_gated ? ", gated" : ""),
                  expected, y.read(), product_tolerance(cell.path));
}

void every_routing(CaseContext& c, const KernelKey& cell, bool is_gated) {
    const std::vector<uint32_t> columns = test_columns(c.random(), cell.type);
    size_t turn = 0;
    for (ExpertShape shape :
         {ExpertShape{1, 1, 1, 257}, ExpertShape{5, 3, 4, 33}, ExpertShape{5, 3, 4, 31, 0, Routing::kInvalid},
          ExpertShape{64, 2, 8, 9, 256, Routing::kInvalid}, ExpertShape{64, 1, 8, 3, 256},
          ExpertShape{5, 7, 2, 1, 0, Routing::kOne}, ExpertShape{3, 2, 2, 7, 0, Routing::kNobody}}) {
        if (shape.n_columns == 0) shape.n_columns = columns[turn++ % columns.size()];
        check(c, cell, shape, is_gated);
    }
}

/// 1 to 70 pairs of an expert, and matrices of few and of odd numbers of rows.
void sorted(CaseContext& c, const KernelKey& cell, uint32_t tile_tokens) {
    const std::vector<uint32_t> columns = test_columns(c.random(), cell.type);
    size_t turn = 0;
    for (ExpertShape shape :
         {ExpertShape{1, 1, 1, 1}, ExpertShape{1, 70, 1, 33}, ExpertShape{5, 9, 4, 31, 0, Routing::kInvalid},
          ExpertShape{64, 33, 8, 3, 256}, ExpertShape{3, 7, 2, 7, 0, Routing::kNobody}}) {
        if (shape.n_columns == 0) shape.n_columns = columns[turn++ % columns.size()];
        check_sorted_pairs(c, cell, shape, tile_tokens);
    }
}

void every_width(CaseContext& c, const KernelKey& cell) {
    for (uint32_t n_columns : test_columns(c.random(), cell.type))
        check(c, cell, {3, 2, 2, 7, n_columns}, random_bool(c.random()));
}

void most_experts(CaseContext& c, const KernelKey& cell) {
    check(c, cell, {512, 2, 32, 3, column_unit(cell.type)}, true);
}

void special(CaseContext& c, const KernelKey& cell, Numbers numbers, Weights weights) {
    const bool is_gated = numbers != Numbers::kLarge && random_bool(c.random());
    check(c, cell, {5, 3, 4, 35, 256, Routing::kAny, numbers, weights}, is_gated);
}

void distant(CaseContext& c, const KernelKey& cell) {
    ExpertShape shape{2, 2, 4, 33, 256};
    shape.distant = true;
    check(c, cell, shape, true);
}

}  // namespace

std::vector<Case> expert_matvec_cases(const KernelKey& cell, Depth depth) {
    std::vector<Case> cases = {
        {"every routing", [=](CaseContext& c) { every_routing(c, cell, false); }},
        {"every routing, gated", [=](CaseContext& c) { every_routing(c, cell, true); }},
        {"512 experts, 32 slots", [=](CaseContext& c) { most_experts(c, cell); }},
    };
    add_special_number_cases(cases, cell, special);
    // The scalar path's are the tiles of expert_matmul.
    const auto add_sorted = [&cases, &cell](uint32_t tile_tokens) {
        if (cell.path == Path::kScalar) return;
        cases.push_back({fmt::format("sorted pairs, tiles of {} tokens", tile_tokens),
                         [=](CaseContext& c) { sorted(c, cell, tile_tokens); }});
    };
    add_sorted(4);
    if (depth == Depth::kQuick) return cases;
    if (column_unit(cell.type) == 32)
        cases.push_back({"more rows than a grid is high", [=](CaseContext& c) {
                             check(c, cell, {5, 65537, 1, 2, 32}, false);
                         }});
    cases.push_back({"every number of columns", [=](CaseContext& c) { every_width(c, cell); }});
    add_sorted(8);
    cases.push_back({"records beyond 4 GiB", [=](CaseContext& c) { distant(c, cell); }});
    return cases;
}

}  // namespace vkmoe::conformance
