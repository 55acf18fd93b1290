#include "kernels/matvec.h"

#include "conformance/matrix_product.h"
#include "conformance/op_cases.h"

#include <algorithm>

namespace vkmoe::conformance {
namespace {

// A number of tokens is a pipeline of its own, which takes longer to make than all runs of it: quick cases
// have one and three.

void every_shape(CaseContext& c, const KernelKey& cell, uint32_t n_tokens) {
    std::vector<uint32_t> rows = {1, 3, 31, 33, 100, 257};
    std::shuffle(rows.begin(), rows.end(), c.random());
    size_t turn = 0;
    for (uint32_t n_columns : test_columns(c.random(), cell.type)) {
        check_product(c, matvec, cell,
                      {rows[turn++ % rows.size()], n_columns, n_tokens, random_residual(c.random())});
    }
}

void special_numbers(CaseContext& c, const KernelKey& cell, Numbers numbers) {
    for (uint32_t n_tokens : {1u, 3u}) {
        check_product(c, matvec, cell, {33, 512, n_tokens, Residual::kApart, numbers, Weights::kSane});
    }
}

}  // namespace

std::vector<Case> matvec_cases(const KernelKey& cell, Depth depth) {
    std::vector<Case> cases = {
        {"one token, ragged shapes", [=](CaseContext& c) { every_shape(c, cell, 1); }},
        {"three tokens, ragged shapes", [=](CaseContext& c) { every_shape(c, cell, 3); }},
        {"subnormal activations", [=](CaseContext& c) { special_numbers(c, cell, Numbers::kSubnormal); }},
        {"large activations", [=](CaseContext& c) { special_numbers(c, cell, Numbers::kLarge); }},
        {"a NaN stays in its token", [=](CaseContext& c) { special_numbers(c, cell, Numbers::kNan); }},
        {"infinities stay in their token",
         [=](CaseContext& c) { special_numbers(c, cell, Numbers::kInfinities); }},
        {"weights of any bits",
         [=](CaseContext& c) {
             check_product(c, matvec, cell,
                           {33, 512, 1, Residual::kApart, Numbers::kPlain, Weights::kAnyBits});
         }},
    };
    if (depth == Depth::kQuick) return cases;
    for (uint32_t n_tokens = 1; n_tokens <= kMaxMatvecTokens; ++n_tokens) {
        cases.push_back(
            {fmt::format("{} tokens", n_tokens), [=](CaseContext& c) { every_shape(c, cell, n_tokens); }});
    }
    return cases;
}

}  // namespace vkmoe::conformance
