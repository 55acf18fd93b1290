#include "kernels/expert_matmul.h"

#include "conformance/experts.h"
#include "conformance/matrix_product.h"
#include "conformance/op_cases.h"

namespace vkmoe::conformance {
namespace {

void every_routing(CaseContext& c, const KernelKey& cell) {
    const std::vector<uint32_t> columns = test_columns(c.random(), cell.type);
    size_t turn = 0;
    for (ExpertShape shape :
         {ExpertShape{1, 1, 1, 1}, ExpertShape{1, 70, 1, 33}, ExpertShape{5, 9, 4, 100, 0, Routing::kInvalid},
          ExpertShape{5, 9, 4, 31}, ExpertShape{64, 33, 8, 3, 256},
          ExpertShape{64, 9, 8, 35, 256, Routing::kOne}, ExpertShape{3, 7, 2, 7, 0, Routing::kNobody}}) {
        if (shape.n_columns == 0) shape.n_columns = columns[turn++ % columns.size()];
        check_sorted_pairs(c, cell, shape);
    }
}

void every_width(CaseContext& c, const KernelKey& cell) {
    for (uint32_t n_columns : test_columns(c.random(), cell.type))
        check_sorted_pairs(c, cell, {3, 7, 3, 7, n_columns, Routing::kInvalid});
}

void most_experts(CaseContext& c, const KernelKey& cell) {
    check_sorted_pairs(c, cell, {512, 9, 32, 3, column_unit(cell.type)});
}

void many_pairs(CaseContext& c, const KernelKey& cell) {
    // More than one dimension of a grid holds.
    check_sorted_pairs(c, cell, {7, 8250, 8, 1, column_unit(cell.type), Routing::kInvalid});
}

void special(CaseContext& c, const KernelKey& cell, Numbers numbers, Weights weights) {
    const uint32_t n_columns = weights == Weights::kGrowing ? 512 : 256;  // two blocks at least
    check_sorted_pairs(c, cell, {3, 15, 4, 33, n_columns, Routing::kAny, numbers, weights});
}

void distant(CaseContext& c, const KernelKey& cell) {
    ExpertShape shape{2, 9, 4, 33, 256};
    shape.distant = true;
    check_sorted_pairs(c, cell, shape);
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
