#include "conformance/generators.h"
#include "conformance/op_cases.h"
#include "conformance/rows.h"
#include "kernels/activation.h"
#include "kernels/attention.h"

#include <cmath>

namespace vkmoe::conformance {
namespace {

constexpr float kNoScore = -1e30f;  // the greatest score of a part that saw no row
constexpr double kTolerance = 4e-6;

struct Shape {
    uint32_t n_tokens = 1;
    uint32_t n_heads = 1;
    uint32_t head_dim = 64;
    uint32_t n_splits = 2;
    uint32_t empty_percent = 0;  // of the parts; every fourth row has no others
    float spread = 5;            // of the greatest scores
    bool floats = true;
    bool packed = true;

    uint32_t n_rows() const { return n_tokens * n_heads; }
};

/// What attention leaves in its scratch (layout: shaders/attention/params.h).
struct Parts {
    std::vector<float> greatest;  // [row, split], in powers of two
    std::vector<float> sums;      // [row, split]; 0: an empty part
    std::vector<float> rows;      // [row, split, head_dim]

    std::vector<float> scratch() const {
        std::vector<float> all;
        for (size_t i = 0; i < sums.size(); ++i) all.insert(all.end(), {greatest[i], sums[i]});
        all.resize((all.size() + 3) / 4 * 4, kNan);
        all.insert(all.end(), rows.begin(), rows.end());
        return all;
    }
};

Parts random_parts(std::mt19937& random, const Shape& shape) {
    std::normal_distribution<float> normal;
    Parts parts;
    const size_t n_parts = size_t{shape.n_rows()} * shape.n_splits;
    for (size_t i = 0; i < n_parts; ++i) {
        const bool empty_row = shape.empty_percent != 0 && i / shape.n_splits % 4 == 3;
        const bool empty = empty_row || random_below(random, 100) < shape.empty_percent;
        parts.greatest.push_back(empty ? kNoScore : shape.spread * normal(random));
        parts.sums.push_back(empty ? 0 : 1 + 100 * std::abs(normal(random)));
        // Nothing was written where there was no row to see.
        for (uint32_t d = 0; d < shape.head_dim; ++d)
            parts.rows.push_back(empty ? kNan : parts.sums.back() * normal(random));
    }
    return parts;
}

std::vector<Expected> reference(const Shape& shape, const Parts& parts) {
    std::vector<Expected> expected;
    for (size_t row = 0; row < shape.n_rows(); ++row) {
        const size_t first = row * shape.n_splits;
        double greatest = -INFINITY;
        for (size_t i = first; i < first + shape.n_splits; ++i)
            if (parts.sums[i] != 0) greatest = std::max(greatest, double{parts.greatest[i]});
        for (uint32_t d = 0; d < shape.head_dim; ++d) {
            double sum = 0;
            Expected total;
            for (size_t i = first; i < first + shape.n_splits; ++i) {
                if (parts.sums[i] == 0) continue;
                const double weight = std::exp2(parts.greatest[i] - greatest);
                const double term = weight * parts.rows[i * shape.head_dim + d];
                sum += weight * parts.sums[i];
                total.value += term;
                // exp2 is as exact as its argument, a difference of two rounded numbers.
                total.magnitude += std::abs(term) * (1 + std::abs(parts.greatest[i] - greatest) / 8);
            }
            if (sum == 0)
                expected.push_back({});
            else
                expected.push_back({total.value / sum, 2 * total.magnitude / std::abs(sum), kLeastNormal});
        }
    }
    return expected;
}

void check_parts(CaseContext& c, const KernelKey& cell, const Shape& shape, const Parts& parts) {
    AttentionArgs args;
    args.scratch = upload_shifted(c, parts.scratch(), 16);
    args.n_tokens = shape.n_tokens;
    args.n_heads = args.n_kv_heads = shape.n_heads;
    args.head_dim = shape.head_dim;
    args.n_splits = shape.n_splits;
    args.path = cell.path;
    const uint32_t row_floats = shape.n_heads * shape.head_dim;
    TypedOutput<float> floats;
    TypedOutput<std::byte> packed;
    if (shape.floats) args.out = (floats = c.output<float>(size_t{shape.n_tokens} * row_floats)).address();
    if (shape.packed)
        args.q8_out = (packed = c.output<std::byte>(shape.n_tokens * q8_row_bytes(row_floats))).address();
    c.run({attention_reduce(c.kernels(), args)});

    const std::vector<Expected> expected = reference(shape, parts);
    const std::string what = fmt::format("{} tokens, {} heads, head_dim {}, {} parts", shape.n_tokens,
                                         shape.n_heads, shape.head_dim, shape.n_splits);
    if (shape.floats) check_numbers(what, expected, floats.read(), {.relative = kTolerance, .nmse = 1e-10});
    if (shape.packed) check_packed_rows(what + ", packed", expected, packed.read(), row_floats, kTolerance);
}

void check_shape(CaseContext& c, const KernelKey& cell, const Shape& shape) {
    check_parts(c, cell, shape, random_parts(c.random(), shape));
}

/// In one part of one row.
void special_number(CaseContext& c, const KernelKey& cell, float special, bool in_sum) {
    const Shape shape = {.n_tokens = 3, .n_heads = 5, .head_dim = 96, .n_splits = 6, .empty_percent = 20};
    Parts parts = random_parts(c.random(), shape);
    uint32_t part;
    do part = random_below(c.random(), static_cast<uint32_t>(parts.sums.size()));
    while (parts.sums[part] == 0);
    parts.greatest[part] = 100;  // so that it counts beside the others
    if (in_sum)
        parts.sums[part] = special;
    else
        parts.rows[size_t{part} * shape.head_dim + random_below(c.random(), shape.head_dim)] = special;
    check_parts(c, cell, shape, parts);
}

}  // namespace

std::vector<Case> attention_reduce_cases(const KernelKey& cell, Depth depth) {
    const auto shapes = each_of(cell, check_shape);
    const auto special = [cell](float number, bool in_sum) {
        return [=](CaseContext& c) { special_number(c, cell, number, in_sum); };
    };
    std::vector<Case> cases = {
        {"every number of parts", shapes({{.n_tokens = 1, .n_heads = 1, .head_dim = 32, .n_splits = 1},
                                          {.n_tokens = 1, .n_heads = 3, .head_dim = 32, .n_splits = 3},
                                          {.n_tokens = 1, .n_heads = 32, .head_dim = 128, .n_splits = 16},
                                          {.n_tokens = 7, .n_heads = 5, .head_dim = 160, .n_splits = 4},
                                          {.n_tokens = 2, .n_heads = 3, .head_dim = 256, .n_splits = 100}})},
        {"float32 only, packed only", shapes({{.n_tokens = 3, .n_heads = 4, .packed = false},
                                              {.n_tokens = 3, .n_heads = 4, .floats = false}})},
        {"empty parts", shapes({{.n_tokens = 5, .n_heads = 4, .n_splits = 7, .empty_percent = 70},
                                {.n_tokens = 3, .n_heads = 8, .n_splits = 1, .empty_percent = 50}})},
        {"scores far apart",
         shapes({{.n_tokens = 3, .n_heads = 4, .n_splits = 9, .spread = 1000},
                 {.n_tokens = 3, .n_heads = 4, .n_splits = 9, .empty_percent = 30, .spread = 1e20f}})},
        {"a NaN in a part stays in its dimension", special(kNan, false)},
        {"an infinity in a part stays in its dimension", special(kInfinity, false)},
        {"a NaN for a sum stays in its row", special(kNan, true)},
    };
    if (depth == Depth::kQuick) return cases;
    cases.push_back(
        {"4096 parts",
         shapes({{.n_tokens = 1, .n_heads = 8, .head_dim = 256, .n_splits = 4096, .spread = 1000}})});
    cases.push_back(
        {"many rows", shapes({{.n_tokens = 4096, .n_heads = 32, .head_dim = 128, .n_splits = 2}})});
    return cases;
}

}  // namespace vkmoe::conformance
