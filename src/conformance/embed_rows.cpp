#include "kernels/embed_rows.h"

#include "conformance/case_context.h"
#include "conformance/check.h"
#include "conformance/generators.h"
#include "conformance/op_cases.h"
#include "conformance/stored_matrix.h"

#include <algorithm>
#include <cmath>

namespace vkmoe::conformance {
namespace {

/// float32 rounding of a scale times a quant plus an offset, which may cancel: to the largest of a block.
constexpr Tolerance kTolerance{1e-6, 1e-12};

struct Lookup {
    uint32_t n_vocabulary;
    uint32_t n_columns;
    std::vector<int32_t> tokens;
    float scale = 1;
    Weights weights = Weights::kSane;
};

Dispatch dispatch(CaseContext& c, const KernelKey& cell, const Lookup& lookup, uint64_t table,
                  const TypedOutput<float>& rows) {
    EmbedRowsArgs args;
    args.type = cell.type;
    args.table = table;
    args.tokens = c.upload(lookup.tokens).address;
    args.output = rows.address();
    args.n_tokens = static_cast<uint32_t>(lookup.tokens.size());
    args.n_columns = lookup.n_columns;
    args.n_vocabulary = lookup.n_vocabulary;
    args.scale = lookup.scale;
    args.path = cell.path;
    return embed_rows(c.kernels(), args);
}

/// The largest number that a device which flushes subnormal float32 to zero may make zero of. MXFP4 has
/// scales that are subnormal, up to 2^-127, by quants up to 12; other types have none.
double largest_flushed(TensorType type) {
    return type == TensorType::kMXFP4 ? 12 * 0x1p-127 : kLeastNormal;
}

/// A row of the table times scale; each number may be off by a rounding of the largest of its block.
void expect_row(std::vector<Expected>& expected, TensorType type, const float* row, uint32_t n_columns,
                float scale) {
    const uint32_t block = std::max(32u, tensor_type_info(type).block_elements);
    for (uint32_t start = 0; start < n_columns; start += block) {
        double largest = 0;
        for (uint32_t i = start; i < start + block; ++i)
            largest = std::max(largest, std::abs(double{row[i]}));
        for (uint32_t i = start; i < start + block; ++i) {
            const double floor = largest_flushed(type) * (1 + std::abs(scale));
            expected.push_back({double{scale} * row[i], std::abs(scale) * largest, floor});
        }
    }
}

void check(CaseContext& c, const KernelKey& cell, const Lookup& lookup) {
    const StoredMatrix table =
        random_matrix(c.random(), cell.type, lookup.n_vocabulary, lookup.n_columns, lookup.weights);
    auto rows = c.output<float>(lookup.tokens.size() * lookup.n_columns);
    c.run({dispatch(c, cell, lookup, c.upload(table.bytes).address, rows)});
    std::vector<Expected> expected;
    for (int32_t token : lookup.tokens) {
        if (token >= 0 && static_cast<uint32_t>(token) < lookup.n_vocabulary) {
            expect_row(expected, cell.type, table.values.data() + size_t{lookup.n_columns} * token,
                       lookup.n_columns, lookup.scale);
        } else {
            expected.resize(expected.size() + lookup.n_columns);
        }
    }
    check_numbers(fmt::format("{} tokens of a table of {} rows of {}", lookup.tokens.size(),
                              lookup.n_vocabulary, lookup.n_columns),
                  expected, rows.read(), kTolerance);
}

std::vector<int32_t> random_tokens(CaseContext& c, size_t n, uint32_t n_vocabulary) {
    std::vector<int32_t> tokens(n);
    for (int32_t& token : tokens) token = static_cast<int32_t>(random_below(c.random(), n_vocabulary));
    return tokens;
}

void shapes(CaseContext& c, const KernelKey& cell) {
    for (uint32_t n_columns : test_columns(c.random(), cell.type)) {
        const size_t n_tokens = pick(c.random(), std::vector<size_t>{1, 5, 70});
        const float scale = random_bool(c.random()) ? 1 : 0.37f;
        check(c, cell, {13, n_columns, random_tokens(c, n_tokens, 13), scale});
    }
}

void unknown_ids(CaseContext& c, const KernelKey& cell) {
    check(c, cell, {11, 256, {0, -1, 10, 11, INT32_MAX, INT32_MIN, 3}});
}

void any_bits(CaseContext& c, const KernelKey& cell) {
    check(c, cell, {17, 512, random_tokens(c, 40, 17), 1, Weights::kAnyBits});
}

/// A row that begins beyond 4 GiB from the table's start; the rows before it are not looked at.
void beyond_4_gib(CaseContext& c, const KernelKey& cell) {
    constexpr uint32_t kColumns = 8192;
    const uint64_t row = row_bytes(cell.type, kColumns);
    const auto n_rows = static_cast<uint32_t>((1ull << 32) / row + 3);
    const Allocation table = c.reserve(n_rows * row);
    const StoredMatrix end = random_matrix(c.random(), cell.type, 2, kColumns);
    c.fill(table.slice((n_rows - 2) * row, 2 * row), end.bytes);
    const auto last = static_cast<int32_t>(n_rows - 1);
    const Lookup lookup{n_rows, kColumns, {last, last - 1}};
    auto rows = c.output<float>(size_t{2} * kColumns);
    c.run({dispatch(c, cell, lookup, table.address, rows)});
    std::vector<Expected> expected;
    expect_row(expected, cell.type, end.values.data() + kColumns, kColumns, 1);
    expect_row(expected, cell.type, end.values.data(), kColumns, 1);
    check_numbers("the last rows of a table of 4 GiB", expected, rows.read(), kTolerance);
}

}  // namespace

std::vector<Case> embed_rows_cases(const KernelKey& cell, Depth depth) {
    std::vector<Case> cases = {
        {"shapes", [=](CaseContext& c) { shapes(c, cell); }},
        {"ids outside the vocabulary give zeros", [=](CaseContext& c) { unknown_ids(c, cell); }},
        {"a table of arbitrary bits", [=](CaseContext& c) { any_bits(c, cell); }},
    };
    if (depth == Depth::kFull)
        cases.push_back({"a table beyond 4 GiB", [=](CaseContext& c) { beyond_4_gib(c, cell); }});
    return cases;
}

}  // namespace vkmoe::conformance
