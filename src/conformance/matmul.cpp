#include "kernels/matmul.h"

#include "conformance/matrix_product.h"
#include "conformance/op_cases.h"

#include <algorithm>

namespace vkmoe::conformance {
namespace {

/// Numbers of tokens around the sizes of tiles. (Below 9, the scalar path has a pipeline for each.)
std::vector<uint32_t> token_counts(CaseContext& c) {
    std::vector<uint32_t> counts = {9, 16, 31, 33, 70};
    std::shuffle(counts.begin(), counts.end(), c.random());
    return counts;
}

std::vector<uint32_t> row_counts(CaseContext& c) {
    std::vector<uint32_t> counts = {1, 3, 31, 33, 100, 257};
    std::shuffle(counts.begin(), counts.end(), c.random());
    return counts;
}

/// Every number of columns, with as many tokens as keep the reference's work (terms) within bounds.
void every_width(CaseContext& c, const KernelKey& cell, uint64_t max_terms) {
    const std::vector<uint32_t> rows = row_counts(c);
    const std::vector<uint32_t> tokens = token_counts(c);
    size_t turn = 0;
    for (uint32_t n_columns : test_columns(c.random(), cell.type)) {
        const uint32_t n_rows = rows[turn % rows.size()];
        const uint64_t most_tokens = std::max<uint64_t>(9, max_terms / n_columns / n_rows);
        const uint32_t n_tokens =
            static_cast<uint32_t>(std::min<uint64_t>(tokens[turn % tokens.size()], most_tokens));
        check_product(c, matmul_product, cell, {n_rows, n_columns, n_tokens, random_residual(c.random())});
        ++turn;
    }
}

void every_count(CaseContext& c, const KernelKey& cell) {
    const uint32_t n_columns = 2 * column_unit(cell.type);
    for (uint32_t n_rows : row_counts(c))
        for (uint32_t n_tokens : token_counts(c))
            check_product(c, matmul_product, cell,
                          {n_rows, n_columns, n_tokens, random_residual(c.random())});
}

void one_token(CaseContext& c, const KernelKey& cell) {
    check_product(c, matmul_product, cell, {5, column_unit(cell.type), 1, Residual::kNone});
}

void special(CaseContext& c, const KernelKey& cell, Numbers numbers, Weights weights) {
    check_product(c, matmul_product, cell, {36, 512, 35, Residual::kApart, numbers, weights});
}

}  // namespace

std::vector<Case> matmul_cases(const KernelKey& cell, Depth depth) {
    std::vector<Case> cases = {
        {"one token", [=](CaseContext& c) { one_token(c, cell); }},
        {"ragged shapes", [=](CaseContext& c) { every_width(c, cell, 1u << 20); }},
    };
    add_special_number_cases(cases, cell, special);
    if (depth == Depth::kQuick) return cases;
    cases.push_back({"every count of rows and tokens", [=](CaseContext& c) { every_count(c, cell); }});
    cases.push_back({"larger shapes", [=](CaseContext& c) { every_width(c, cell, 1ull << 40); }});
    return cases;
}

}  // namespace vkmoe::conformance
