#include "kernels/matvec.h"

#include "conformance/matrix_product.h"
#include "conformance/op_cases.h"
#include "kernels/activation.h"
#include "kernels/quantize_q8.h"

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
        check_product(c, matvec_product, cell,
                      {rows[turn++ % rows.size()], n_columns, n_tokens, random_residual(c.random())});
    }
}

void special(CaseContext& c, const KernelKey& cell, Numbers numbers, Weights weights) {
    check_product(c, matvec_product, cell, {33, 512, 1, Residual::kApart, numbers, weights});
    if (weights == Weights::kSane)
        check_product(c, matvec_product, cell, {33, 512, 3, Residual::kApart, numbers, weights});
}

std::vector<Dispatch> matvec_by_table(KernelContext& kernels, const MatmulArgs& args) {
    MatmulArgs by_table = args;
    by_table.shared_tables = true;
    return {matvec(kernels, by_table)};
}

/// Activations that the device itself rounds to 8 bits: what the result is worth in the end (design: NMSE of
/// at most 5e-4).
void rounded_activations(CaseContext& c, const KernelKey& cell) {
    constexpr uint32_t kRows = 100;
    constexpr uint32_t kColumns = 768;
    constexpr uint32_t kTokens = 3;
    const StoredMatrix weights = random_matrix(c.random(), cell.type, kRows, kColumns);
    const std::vector<float> rows = random_activations(c.random(), kTokens, kColumns);

    QuantizeQ8Args quantize;
    auto packed = c.output<std::byte>(kTokens * q8_row_bytes(kColumns));
    quantize.input = c.upload(rows).address;
    quantize.output = packed.address();
    quantize.n_rows = kTokens;
    quantize.n_columns = kColumns;
    MatmulArgs args;
    args.type = cell.type;
    args.weights = upload_matrix(c, cell.type, weights, false);
    args.x = packed.address();
    auto y = c.output<float>(size_t{kTokens} * kRows);
    args.y = y.address();
    args.n_rows = kRows;
    args.n_columns = kColumns;
    args.n_tokens = kTokens;
    args.path = cell.path;
    c.run({quantize_q8(c.kernels(), quantize), matvec(c.kernels(), args)});

    const StoredActivations unrounded = store_activations(Path::kScalar, rows, kColumns);
    std::vector<double> expected;
    for (uint32_t t = 0; t < kTokens; ++t)
        for (uint32_t r = 0; r < kRows; ++r) expected.push_back(dot(weights, r, unrounded, t).value);
    check_nmse("products with rounded activations", expected, y.read(), 5e-4);
}

/// A matrix whose last rows begin beyond 4 GiB from its start; what comes before is whatever memory held.
void beyond_4_gib(CaseContext& c, const KernelKey& cell) {
    const uint32_t n_columns = 65536;
    const uint64_t row = row_bytes(cell.type, n_columns);
    const auto n_rows = static_cast<uint32_t>((1ull << 32) / row + 3);
    const Allocation matrix = c.reserve(n_rows * row);
    const StoredMatrix end = random_matrix(c.random(), cell.type, 2, n_columns);
    c.fill(matrix.slice((n_rows - 2) * row, 2 * row), end.bytes);
    const StoredActivations x = random_stored_activations(c.random(), cell.path, 1, n_columns);

    MatmulArgs args;
    args.type = cell.type;
    args.weights = matrix.address;
    args.x = c.upload(x.bytes).address;
    auto y = c.output<float>(n_rows);
    args.y = y.address();
    args.n_rows = n_rows;
    args.n_columns = n_columns;
    args.n_tokens = 1;
    args.path = cell.path;
    c.run({matvec(c.kernels(), args)});
    const std::vector<float> all = y.read();
    check_numbers("the last rows of a matrix of 4 GiB",
                  std::vector<Expected>{dot(end, 0, x, 0), dot(end, 1, x, 0)}, std::span(all).last(2),
                  product_tolerance(cell.path));
}

}  // namespace

std::vector<Case> matvec_cases(const KernelKey& cell, Depth depth) {
    std::vector<Case> cases = {
        {"one token, ragged shapes", [=](CaseContext& c) { every_shape(c, cell, 1); }},
        {"three tokens, ragged shapes", [=](CaseContext& c) { every_shape(c, cell, 3); }},
    };
    add_special_number_cases(cases, cell, special);
    if (cell.type == TensorType::kIQ4_NL || cell.type == TensorType::kIQ4_XS) {
        cases.push_back({"numbers from a table in shared memory", [=](CaseContext& c) {
                             check_product(c, matvec_by_table, cell,
                                           {33, 512, 1, Residual::kNone, Numbers::kPlain, Weights::kAnyBits});
                         }});
    }
    if (cell.path == Path::kDot4) {
        cases.push_back(
            {"activations rounded on the device", [=](CaseContext& c) { rounded_activations(c, cell); }});
    }
    if (depth == Depth::kQuick) return cases;
    cases.push_back({"a matrix beyond 4 GiB", [=](CaseContext& c) { beyond_4_gib(c, cell); }});
    // As many rows as Gemma has tokens. Types of large blocks would keep the reference busy for a minute.
    if (column_unit(cell.type) == 32) {
        cases.push_back(
            {"more rows than a grid is wide", [=](CaseContext& c) {
                 for (const uint32_t n_tokens : {1u, 3u})
                     check_product(c, matvec_product, cell, {262144, 32, n_tokens, Residual::kNone});
             }});
    }
    // More are never computed by one invocation.
    const uint32_t most_tokens = cell.path == Path::kScalar ? kMaxScalarTokens : kMaxMatvecTokens;
    for (uint32_t n_tokens = 1; n_tokens <= most_tokens; ++n_tokens) {
        cases.push_back(
            {fmt::format("{} tokens", n_tokens), [=](CaseContext& c) { every_shape(c, cell, n_tokens); }});
    }
    return cases;
}

}  // namespace vkmoe::conformance
