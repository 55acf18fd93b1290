#include "kernels/attention.h"

#include "conformance/generators.h"
#include "conformance/kv_rows.h"
#include "conformance/op_cases.h"
#include "conformance/rows.h"
#include "kernels/activation.h"
#include "kernels/elementwise.h"
#include "kernels/kv_cache.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>

namespace vkmoe::conformance {
namespace {

constexpr double kNmse = 1e-6;

enum class Outputs { kFloats, kPacked, kBoth };

struct Shape {
    uint32_t n_tokens = 1;
    uint32_t ratio = 1;  // query heads to a KV head
    uint32_t n_kv_heads = 1;
    uint32_t head_dim = 64;
    uint32_t n_context = 1;
    uint32_t window = 0;
    uint32_t n_splits = 1;
    uint32_t q_padding = 0;  // floats between rows of Q
    Outputs outputs = Outputs::kFloats;
    AttentionTuning tuning = {};
    std::vector<int32_t> positions;  // of the tokens; empty: the last rows of the context

    uint32_t n_heads() const { return n_kv_heads * ratio; }
    uint32_t row_floats() const { return n_heads() * head_dim; }
    uint32_t q_stride() const { return row_floats() + q_padding; }
    float scale() const { return 1.3f / std::sqrt(static_cast<float>(head_dim)); }

    std::string name() const {
        return fmt::format(
            "{} tokens, {} heads, {} KV heads, head_dim {}, context {}, window {}, splits {}, tuning {} {} "
            "{} {} {}, positions {}",
            n_tokens, n_heads(), n_kv_heads, head_dim, n_context, window, n_splits, tuning.queries,
            tuning.rows, tuning.cluster, tuning.words_at_once, tuning.value_rows, fmt::join(positions, ","));
    }
};

/// The numbers that go in, before K and V are packed: [token, q_stride] and [KV head, row, head_dim].
struct Inputs {
    std::vector<float> q;
    std::vector<float> k;
    std::vector<float> v;
};

Inputs random_inputs(std::mt19937& random, const Shape& shape) {
    const size_t cache_floats = size_t{shape.n_kv_heads} * shape.n_context * shape.head_dim;
    return {normal_numbers(random, size_t{shape.n_tokens} * shape.q_stride()),
            normal_numbers(random, cache_floats), normal_numbers(random, cache_floats)};
}

std::vector<int32_t> last_positions(uint32_t n_tokens, uint32_t n_context) {
    std::vector<int32_t> positions;
    for (uint32_t i = 0; i < n_tokens; ++i)
        positions.push_back(static_cast<int32_t>(n_context - n_tokens + i));
    return positions;
}

/// K or V. Rows that no token sees keep all bits set: NaN.
std::vector<std::byte> packed_cache(const Shape& shape, TensorType type, std::span<const float> values) {
    const uint64_t row_bytes = kv_row_bytes(type, shape.head_dim);
    std::vector<std::byte> cache(kv_layer_bytes(type, shape.n_kv_heads, shape.n_context, shape.head_dim),
                                 std::byte{0xFF});
    int32_t last = -1;
    for (int32_t position : shape.positions)
        if (position < static_cast<int32_t>(shape.n_context)) last = std::max(last, position);
    for (uint32_t head = 0; head < shape.n_kv_heads; ++head)
        for (int32_t row = 0; row <= last; ++row) {
            const size_t at = size_t{head} * shape.n_context + static_cast<size_t>(row);
            encode_kv_row(type, values.subspan(at * shape.head_dim, shape.head_dim),
                          cache.data() + at * row_bytes);
        }
    return cache;
}

/// What one query row makes of rows [first, last] of one KV head.
void attend(std::span<const float> query, std::span<const std::vector<float>> k,
            std::span<const std::vector<float>> v, double scale, std::span<double> result) {
    std::vector<double> scores;
    double greatest = -INFINITY;
    for (const std::vector<float>& row : k) {
        double score = 0;
        for (size_t i = 0; i < query.size(); ++i) score += double{query[i]} * row[i];
        scores.push_back(score * scale);
        greatest = std::max(greatest, scores.back());
    }
    double sum = 0;
    for (double& score : scores) sum += score = std::exp(score - greatest);
    for (size_t row = 0; row < v.size(); ++row)
        for (size_t i = 0; i < query.size(); ++i) result[i] += scores[row] / sum * v[row][i];
}

std::vector<double> reference(const Shape& shape, TensorType type, std::span<const float> q,
                              std::span<const std::byte> k_cache, std::span<const std::byte> v_cache) {
    const uint64_t row_bytes = kv_row_bytes(type, shape.head_dim);
    const double scale = shape.scale();
    std::vector<double> out(size_t{shape.n_tokens} * shape.row_floats(), 0.0);
    for (uint32_t kv_head = 0; kv_head < shape.n_kv_heads; ++kv_head) {
        std::vector<std::vector<float>> k;
        std::vector<std::vector<float>> v;
        for (uint32_t row = 0; row < shape.n_context; ++row) {
            const uint64_t at = (uint64_t{kv_head} * shape.n_context + row) * row_bytes;
            k.push_back(decode_kv_row(type, k_cache.data() + at, shape.head_dim));
            v.push_back(decode_kv_row(type, v_cache.data() + at, shape.head_dim));
        }
        for (uint32_t token = 0; token < shape.n_tokens; ++token) {
            const int64_t position = shape.positions[token];
            if (position < 0 || position >= shape.n_context) continue;
            const int64_t first = shape.window == 0 ? 0 : std::max<int64_t>(0, position - shape.window + 1);
            const size_t from = static_cast<size_t>(first);
            const size_t count = static_cast<size_t>(position - first + 1);
            for (uint32_t head = kv_head * shape.ratio; head < (kv_head + 1) * shape.ratio; ++head)
                attend(q.subspan(size_t{token} * shape.q_stride() + head * shape.head_dim, shape.head_dim),
                       std::span(k).subspan(from, count), std::span(v).subspan(from, count), scale,
                       std::span(out).subspan(size_t{token} * shape.row_floats() + head * shape.head_dim,
                                              shape.head_dim));
        }
    }
    return out;
}

/// Head by head: one that is wrong must not hide among many.
void check_heads(const Shape& shape, std::span<const double> expected, std::span<const float> actual) {
    for (uint32_t row = 0; row < shape.n_tokens * shape.n_heads(); ++row) {
        const size_t at = size_t{row} * shape.head_dim;
        check_nmse(
            fmt::format("{}: token {}, head {}", shape.name(), row / shape.n_heads(), row % shape.n_heads()),
            expected.subspan(at, shape.head_dim), actual.subspan(at, shape.head_dim), kNmse);
    }
}

void check_attention(CaseContext& c, const KernelKey& cell, Shape shape,
                     const std::function<void(Inputs&)>& change = {}) {
    if (shape.positions.empty()) shape.positions = last_positions(shape.n_tokens, shape.n_context);
    Inputs inputs = random_inputs(c.random(), shape);
    if (change) change(inputs);
    const std::vector<std::byte> k_cache = packed_cache(shape, cell.type, inputs.k);
    const std::vector<std::byte> v_cache = packed_cache(shape, cell.type, inputs.v);
    const bool packs = shape.outputs != Outputs::kFloats;

    AttentionArgs args;
    args.q = upload_shifted(c, inputs.q, 16);
    args.q_stride = shape.q_padding != 0 ? shape.q_stride() : 0;
    args.k_cache = upload_shifted(c, k_cache, 16);
    args.v_cache = upload_shifted(c, v_cache, 16);
    args.positions = upload_shifted(c, shape.positions, 4);
    args.kv_type = cell.type;
    args.n_tokens = shape.n_tokens;
    args.n_heads = shape.n_heads();
    args.n_kv_heads = shape.n_kv_heads;
    args.head_dim = shape.head_dim;
    args.n_context = shape.n_context;
    args.window = shape.window;
    args.n_splits = shape.n_splits;
    args.scale = shape.scale();
    args.path = cell.path;
    args.tuning = shape.tuning;
    TypedOutput<float> floats;
    TypedOutput<std::byte> packed;
    Output scratch;
    const uint64_t scratch_bytes =
        attention_scratch_bytes(shape.n_tokens, shape.n_heads(), shape.head_dim, shape.n_splits, packs);
    if (scratch_bytes != 0) args.scratch = (scratch = c.output(scratch_bytes)).address();
    if (shape.outputs != Outputs::kPacked)
        args.out = (floats = c.output<float>(size_t{shape.n_tokens} * shape.row_floats())).address();
    if (packs) {
        packed = c.output<std::byte>(shape.n_tokens * q8_row_bytes(shape.row_floats()));
        args.q8_out = packed.address();
    }
    c.run(attention(c.kernels(), args));

    const std::vector<double> expected = reference(shape, cell.type, inputs.q, k_cache, v_cache);
    if (shape.outputs != Outputs::kPacked) check_heads(shape, expected, floats.read());
    if (!packs) return;
    std::vector<Expected> numbers;
    for (double value : expected) numbers.push_back({value, std::abs(value), 1e-5});
    check_packed_rows(shape.name() + ", packed", numbers, packed.read(), shape.row_floats(), 1e-5);
}

// Pipelines of attention take long to make on a CPU driver, and head_dim and the tuning make one: quick cases
// share two.

/// As at decode: by the plan, or (where the plan's would take seconds to make) a query at a time.
Shape decode_shape(const DevicePlan& plan) {
    Shape shape;
    shape.ratio = 4;
    shape.head_dim = 128;
    if (plan.subgroup_size < kWideSubgroup) shape.tuning.queries = 1;
    return shape;
}

/// The smallest heads, in tiles that end within a token, and lanes that share rows.
Shape small_shape(Path path) {
    Shape shape;
    shape.head_dim = 32;
    shape.tuning = {.queries = 2,
                    .rows = 1,
                    .cluster = path == Path::kScalar ? 1u : 2u,
                    .words_at_once = 1,
                    .value_rows = 2};
    return shape;
}

void one_token(CaseContext& c, const KernelKey& cell, Shape shape) {
    // Around the blocks of rows that the kernel passes at a time, and the parts of a split context.
    for (const uint32_t n_context : {1u, 2u, 31u, 32u, 33u, 64u, 65u, 300u}) {
        shape.n_context = n_context;
        shape.n_kv_heads = 1 + n_context % 3;
        shape.n_splits = 1;
        check_attention(c, cell, shape);
        shape.n_splits = pick(c.random(), std::vector<uint32_t>{2, 3, 7, 40});
        check_attention(c, cell, shape);
    }
}

void many_tokens(CaseContext& c, const KernelKey& cell, Shape shape) {
    for (const uint32_t n_tokens : {2u, 3u, 17u, 70u}) {
        for (const uint32_t ratio : {1u, 2u, 12u}) {
            shape.n_tokens = n_tokens;
            shape.ratio = ratio;
            shape.n_kv_heads = ratio == 12 ? 1 : 3;
            shape.n_context = n_tokens + random_below(c.random(), 50);
            shape.window = random_bool(c.random()) ? 1 + random_below(c.random(), shape.n_context) : 0;
            shape.n_splits = random_bool(c.random()) ? 3 : 1;
            shape.q_padding = 4 * random_below(c.random(), 3);
            shape.positions = last_positions(shape.n_tokens, shape.n_context);
            if (random_bool(c.random()))
                std::shuffle(shape.positions.begin(), shape.positions.end(), c.random());
            check_attention(c, cell, shape);
        }
    }
}

void outside_the_context(CaseContext& c, const KernelKey& cell, Shape shape) {
    shape.n_tokens = 5;
    shape.n_context = 50;
    for (const uint32_t n_splits : {1u, 3u}) {
        shape.n_splits = n_splits;
        shape.positions = {-1, 7, 50, 49, std::numeric_limits<int32_t>::min()};
        check_attention(c, cell, shape);
        shape.positions = {-1, -1, 50, 51, std::numeric_limits<int32_t>::max()};
        check_attention(c, cell, shape);
    }
}

/// A window much shorter than the context, with splits of which most see nothing.
void short_window(CaseContext& c, const KernelKey& cell, Shape shape) {
    shape.n_tokens = 3;
    shape.n_context = 700;
    shape.window = 65;
    shape.positions = {600, 601, 602};
    for (const uint32_t n_splits : {1u, 5u}) {
        shape.n_splits = n_splits;
        check_attention(c, cell, shape);
    }
}

void packed_output(CaseContext& c, const KernelKey& cell, Shape shape) {
    shape.n_tokens = 3;
    shape.n_context = 90;
    shape.outputs = Outputs::kPacked;
    check_attention(c, cell, shape);
    shape.outputs = Outputs::kBoth;
    shape.n_splits = 4;
    check_attention(c, cell, shape);
}

/// Scores that grow by hundreds from row to row: sums must be taken relative to the greatest so far.
void large_scores(CaseContext& c, const KernelKey& cell, Shape shape) {
    shape.n_context = 200;
    for (const uint32_t n_splits : {1u, 3u}) {
        shape.n_splits = n_splits;
        check_attention(c, cell, shape, [&](Inputs& inputs) {
            std::fill(inputs.q.begin(), inputs.q.end(), 0.0f);
            std::fill(inputs.k.begin(), inputs.k.end(), 0.0f);
            for (uint32_t head = 0; head < shape.n_heads(); ++head) inputs.q[head * shape.head_dim] = 10;
            for (uint32_t row = 0; row < shape.n_context; ++row)
                inputs.k[row * shape.head_dim] = 300.0f * static_cast<float>(row % 150);
        });
    }
}

/// K and V subnormal in some rows, Q in some tokens: a device may take those for zeros.
void subnormal_numbers(CaseContext& c, const KernelKey& cell, Shape shape) {
    shape.n_tokens = 3;
    shape.n_context = 40;
    const float small = static_cast<float>(kv_least_normal(cell.type) / 4);
    check_attention(c, cell, shape, [&](Inputs& inputs) {
        for (uint32_t i = 0; i < shape.q_stride(); ++i) inputs.q[shape.q_stride() + i] *= 0x1p-128f;
        for (uint32_t row = 1; row < shape.n_context; row += 3) {
            for (uint32_t i = 0; i < shape.head_dim; ++i) {
                inputs.k[row * shape.head_dim + i] *= small;
                inputs.v[(row + 1) * shape.head_dim + i] *= small;
            }
        }
    });
}

/// The token's own outputs, and no others.
void nan_in_a_query(CaseContext& c, const KernelKey& cell, Shape shape) {
    shape.n_tokens = 5;
    shape.n_context = 90;
    for (const uint32_t n_splits : {1u, 4u}) {
        shape.n_splits = n_splits;
        check_attention(c, cell, shape, [&](Inputs& inputs) {
            inputs.q[2 * shape.q_stride() + random_below(c.random(), shape.row_floats())] = kNan;
        });
    }
}

/// The outputs of the tokens that see its row.
void not_finite_in_k(CaseContext& c, const KernelKey& cell, Shape shape) {
    shape.n_tokens = 5;
    shape.n_context = 90;
    shape.n_kv_heads = 2;
    for (const float special : {kNan, kInfinity, -kInfinity}) {
        shape.n_splits = pick(c.random(), std::vector<uint32_t>{1, 4});
        check_attention(c, cell, shape, [&](Inputs& inputs) {
            const uint32_t row = 85 + random_below(c.random(), 5);  // the batch's own
            inputs.k[row * shape.head_dim + random_below(c.random(), shape.head_dim)] = special;
        });
    }
}

/// Its dimension of the outputs of the tokens that see its row, which here all do.
void not_finite_in_v(CaseContext& c, const KernelKey& cell, Shape shape) {
    shape.n_tokens = 5;
    shape.n_context = 90;
    shape.n_kv_heads = 2;
    for (const float special : {kNan, kInfinity}) {
        shape.n_splits = pick(c.random(), std::vector<uint32_t>{1, 4});
        check_attention(c, cell, shape, [&](Inputs& inputs) {
            const uint32_t row = random_below(c.random(), 85);
            inputs.v[row * shape.head_dim + random_below(c.random(), shape.head_dim)] = special;
        });
    }
}

/// V of rows that some queries of a tile see and others do not: later tokens of the batch, rows before the
/// window, and tokens outside the context, which see nothing.
void poison_in_rows_that_others_see(CaseContext& c, const KernelKey& cell, Shape shape) {
    shape.n_tokens = 9;
    shape.n_context = 90;
    shape.n_kv_heads = 2;
    // Beyond float16, which makes an infinity of it.
    for (const float special : {kNan, kInfinity, 1e30f}) {
        for (const uint32_t n_splits : {1u, 4u}) {
            shape.n_splits = n_splits;
            shape.window = random_bool(c.random()) ? 20 : 0;
            shape.outputs = random_bool(c.random()) ? Outputs::kFloats : Outputs::kBoth;
            shape.positions = last_positions(shape.n_tokens, shape.n_context);
            shape.positions[random_below(c.random(), 4)] = -1;
            check_attention(c, cell, shape, [&](Inputs& inputs) {
                // Three of the batch's rows, and two that leave the window within the batch. Tokens 4 and 5,
                // which a tile of two queries shares, are always inside the context and differ in rows 86
                // and 66.
                for (const uint32_t row : {84u, 86u, 87u, 64u, 66u})
                    inputs.v[row * shape.head_dim + random_below(c.random(), shape.head_dim)] = special;
            });
        }
    }
}

/// A pipeline of its own, most times.
void random_shape(CaseContext& c, const KernelKey& cell) {
    std::mt19937& random = c.random();
    const auto between = [&](uint32_t least, uint32_t most) {
        return least + random_below(random, most - least + 1);
    };
    const auto any_of = [&](std::vector<uint32_t> choices) { return pick(random, choices); };
    Shape shape;
    uint64_t work = 0;
    do {
        shape.n_tokens = any_of({1, 1, 2, 3, between(4, 17), between(18, 70)});
        shape.ratio = any_of({1, 2, 8, 12});
        shape.n_kv_heads = between(1, 3);
        shape.head_dim = 32 * between(1, 8);
        shape.n_context = between(shape.n_tokens, shape.n_tokens + any_of({3, 40, 300, 1100}));
        work = uint64_t{shape.n_tokens} * shape.n_heads() * shape.n_context * shape.head_dim;
    } while (work > 4'000'000);
    shape.window = random_below(random, 3) == 0 ? between(1, shape.n_context) : 0;
    shape.n_splits = any_of({1, 1, 2, 3, 7, 40});
    shape.q_padding = any_of({0, 0, 4, 32});
    shape.outputs = pick(random, std::vector<Outputs>{Outputs::kFloats, Outputs::kPacked, Outputs::kBoth});
    shape.tuning.queries = between(1, 4);  // more take a CPU driver half a minute to compile
    if (random_bool(random)) {
        shape.tuning.rows = between(1, 3);
        const uint32_t most = static_cast<uint32_t>(std::bit_width(c.plan().subgroup_size)) - 1;
        shape.tuning.cluster = cell.path == Path::kScalar ? 1 : 1u << between(0, most);
        shape.tuning.words_at_once = between(1, 4);
        shape.tuning.value_rows = any_of({1, 2, 4});
    }
    shape.positions = last_positions(shape.n_tokens, shape.n_context);
    const int32_t back = static_cast<int32_t>(between(0, shape.n_context - shape.n_tokens));
    for (int32_t& position : shape.positions) position -= back;
    if (random_below(random, 3) == 0) std::shuffle(shape.positions.begin(), shape.positions.end(), random);
    check_attention(c, cell, shape);
}

/// Rows of queries by the plan.
void plain_shape(CaseContext& c, const KernelKey& cell, uint32_t head_dim, uint32_t n_tokens) {
    Shape shape;
    shape.n_tokens = n_tokens;
    shape.ratio = 4;
    shape.n_kv_heads = 2;
    shape.head_dim = head_dim;
    shape.n_context = 130;
    check_attention(c, cell, shape);
}

}  // namespace

std::vector<Case> attention_cases(const KernelKey& cell, Depth depth) {
    using Function = void(CaseContext&, const KernelKey&, Shape);
    const auto decode = [cell](Function* function) {
        return [=](CaseContext& c) { function(c, cell, decode_shape(c.plan())); };
    };
    const auto small = [cell](Function* function) {
        return [=](CaseContext& c) { function(c, cell, small_shape(cell.path)); };
    };
    std::vector<Case> cases = {
        {"one token, contexts of every length, split", decode(one_token)},
        {"many tokens, every grouping of heads", small(many_tokens)},
        {"tokens outside the context", small(outside_the_context)},
        {"a window much shorter than the context", decode(short_window)},
        {"packed output", decode(packed_output)},
        {"large scores", small(large_scores)},
        {"subnormal numbers", small(subnormal_numbers)},
        {"a NaN in a query stays in its token", small(nan_in_a_query)},
        {"NaN and infinities in K", small(not_finite_in_k)},
        {"NaN and infinities in V", decode(not_finite_in_v)},
        {"poison in rows of V that others see", small(poison_in_rows_that_others_see)},
        {"poison in rows of V that others see, heads in a tile", decode(poison_in_rows_that_others_see)},
    };
    if (depth == Depth::kQuick) return cases;
    for (uint32_t head_dim = 32; head_dim <= 256; head_dim += 32) {
        cases.push_back({fmt::format("head_dim {} by the plan", head_dim),
                         [=](CaseContext& c) { plain_shape(c, cell, head_dim, 1); }});
    }
    cases.push_back({"large tiles by the plan", [=](CaseContext& c) { plain_shape(c, cell, 128, 9); }});
    for (uint32_t i = 1; i <= 8; ++i)
        cases.push_back({fmt::format("random shape {}", i), [=](CaseContext& c) { random_shape(c, cell); }});
    return cases;
}

}  // namespace vkmoe::conformance
