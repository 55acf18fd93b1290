#include "kernels/expert_matmul.h"

#include "conformance/experts.h"
#include "conformance/matrix_product.h"
#include "conformance/op_cases.h"

namespace vkmoe::conformance {
namespace {

void check(CaseContext& c, const KernelKey& cell, const ExpertShape& shape) {
    const bool token_rows = random_bool(c.random());  // one row of activations a token, else one a pair
    const uint32_t divisor = token_rows ? shape.n_slots : 1;
    const uint32_t n_pairs = shape.n_pairs();
    const ExpertInputs inputs = random_expert_inputs(c, cell, shape, divisor);

    auto args = expert_args<ExpertMatmulArgs>(c, cell, shape, inputs);
    args.grouped = group_pairs(c, cell.path, inputs, shape);
    args.tile_tokens =
        expert_tile_tokens(c.plan(), {cell.path}, shape.n_pairs(), inputs.experts.table.n_experts);
    auto check_result = [&](const auto& value_of, const TypedOutput<float>& y, std::string_view how) {
        std::vector<Expected> expected;
        for (uint32_t p = 0; p < n_pairs; ++p) {
            for (uint32_t r = 0; r < shape.n_rows; ++r) {
                const auto product = [&](size_t which) {
                    return inputs.experts.product(inputs.ids[p], which, r, inputs.x, p / divisor);
                };
                expected.push_back(value_of(product));
            }
        }
        check_numbers(fmt::format("{}, a row of activations a {}, {}", shape.describe(),
                                  token_rows ? "token" : "pair", how),
                      expected, y.read(), product_tolerance(cell.path));
    };
    const auto first = [](const auto& product) { return product(0); };
    const auto second = [](const auto& product) { return product(1); };
    const size_t n_numbers = size_t{n_pairs} * shape.n_rows;
    auto gate = c.output<float>(n_numbers);
    auto up = c.output<float>(n_numbers);
    args.first_y = gate.address();
    args.second_y = up.address();
    c.run({expert_matmul(c.kernels(), args)});
    check_result(first, gate, "the first of two matrices");
    check_result(second, up, "the second of two matrices");

    auto down = c.output<float>(n_numbers);
    args.dispatch = 1;
    args.first_y = down.address();
    args.second_y = 0;
    c.run({expert_matmul(c.kernels(), args)});
    check_result(first, down, "one matrix");

    if (!expert_matmul_gates(c.plan(), cell.path) || shape.numbers == Numbers::kLarge) return;
    auto inner = c.output<float>(n_numbers);
    args.dispatch = 0;
    args.first_y = inner.address();
    args.gated = true;
    c.run({expert_matmul(c.kernels(), args)});
    check_result([](const auto& product) { return gated(product(0), product(1)); }, inner, "gated");
}

void every_routing(CaseContext& c, const KernelKey& cell) {
    const std::vector<uint32_t> columns = test_columns(c.random(), cell.type);
    size_t turn = 0;
    for (ExpertShape shape :
         {ExpertShape{1, 1, 1, 1}, ExpertShape{1, 70, 1, 33}, ExpertShape{5, 9, 4, 100, 0, Routing::kInvalid},
          ExpertShape{5, 9, 4, 31}, ExpertShape{64, 33, 8, 3, 256},
          ExpertShape{64, 9, 8, 35, 256, Routing::kOne}, ExpertShape{3, 7, 2, 7, 0, Routing::kNobody}}) {
        if (shape.n_columns == 0) shape.n_columns = columns[turn++ % columns.size()];
        check(c, cell, shape);
    }
}

void every_width(CaseContext& c, const KernelKey& cell) {
    for (uint32_t n_columns : test_columns(c.random(), cell.type))
        check(c, cell, {3, 7, 3, 7, n_columns, Routing::kInvalid});
}

void most_experts(CaseContext& c, const KernelKey& cell) {
    check(c, cell, {512, 9, 32, 3, column_unit(cell.type)});
}

void many_pairs(CaseContext& c, const KernelKey& cell) {
    // More than one dimension of a grid holds.
    check(c, cell, {7, 8250, 8, 1, column_unit(cell.type), Routing::kInvalid});
}

void special(CaseContext& c, const KernelKey& cell, Numbers numbers, Weights weights) {
    check(c, cell, {3, 15, 4, 33, 256, Routing::kAny, numbers, weights});
}

void distant(CaseContext& c, const KernelKey& cell) {
    ExpertShape shape{2, 9, 4, 33, 256};
    shape.distant = true;
    check(c, cell, shape);
}

}  // namespace

std::vector<Case> expert_matmul_cases(const KernelKey& cell, Depth depth) {
    std::vector<Case> cases = {
        {"every routing", [=](CaseContext& c) { every_routing(c, cell); }},
        {"512 experts, 32 slots", [=](CaseContext& c) { most_experts(c, cell); }},
    };
    add_special_number_cases(cases, cell, special);
    if (depth == Depth::kQuick) return cases;
    cases.push_back({"every number of columns", [=](CaseContext& c) { every_width(c, cell); }});
    cases.push_back({"66000 pairs", [=](CaseContext& c) { many_pairs(c, cell); }});
    cases.push_back({"records beyond 4 GiB", [=](CaseContext& c) { distant(c, cell); }});
    return cases;
}

}  // namespace vkmoe::conformance
