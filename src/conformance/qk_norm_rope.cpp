#include "kernels/qk_norm_rope.h"

#include "conformance/generators.h"
#include "conformance/kv_rows.h"
#include "conformance/op_cases.h"
#include "conformance/rows.h"
#include "kernels/kv_cache.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace vkmoe::conformance {
namespace {

constexpr float kEpsilon = 1e-6f;
constexpr float kAttentionFactor = 1.25f;
constexpr double kRelative = 1e-5;

struct Shape {
    uint32_t ratio = 1;  // query heads to a KV head
    uint32_t n_kv_heads = 1;
    uint32_t head_dim = 64;
    uint32_t n_context = 16;
    uint32_t rope_dims = 64;
    RopeStyle style = RopeStyle::kHalfSplit;
    double base = 10000;
    double frequency_scale = 1;
    bool factors = false;
    bool norms = false;
    bool in_place = false;
    uint32_t padding = 0;  // floats between rows
    std::vector<int32_t> positions;

    uint32_t n_tokens() const { return static_cast<uint32_t>(positions.size()); }
    uint32_t n_heads() const { return ratio * n_kv_heads; }
    uint32_t q_stride() const { return n_heads() * head_dim + padding; }
    uint32_t kv_stride() const { return n_kv_heads * head_dim + padding; }
    bool inside(uint32_t token) const {
        return positions[token] >= 0 && static_cast<uint32_t>(positions[token]) < n_context;
    }

    std::string name() const {
        return fmt::format(
            "{} heads, {} KV heads, head_dim {}, context {}, rope_dims {}, {}, base {} scale {}{}{}{}, "
            "padding {}, "
            "positions {}",
            n_heads(), n_kv_heads, head_dim, n_context, rope_dims,
            style == RopeStyle::kHalfSplit ? "halves" : "interleaved", base, frequency_scale,
            factors ? ", factors" : "", norms ? ", norms" : "", in_place ? ", in place" : "", padding,
            fmt::join(positions, ","));
    }
};

struct Inputs {
    std::vector<float> q;
    std::vector<float> k;
    std::vector<float> v;
    std::vector<float> q_norm;
    std::vector<float> k_norm;
    std::vector<float> factors;
};

Inputs random_inputs(std::mt19937& random, const Shape& shape) {
    Inputs inputs;
    inputs.q = normal_numbers(random, size_t{shape.n_tokens()} * shape.q_stride());
    inputs.k = normal_numbers(random, size_t{shape.n_tokens()} * shape.kv_stride());
    inputs.v = normal_numbers(random, size_t{shape.n_tokens()} * shape.kv_stride());
    inputs.q_norm = normal_numbers(random, shape.head_dim);
    inputs.k_norm = normal_numbers(random, shape.head_dim);
    if (shape.factors)
        for (uint32_t i = 0; i < shape.rope_dims / 2; ++i)
            inputs.factors.push_back(1.0f + static_cast<float>(i) / 3);
    return inputs;
}

/// The head's numbers after norm and rotation. A device may take subnormal numbers for zeros.
std::vector<Expected> reference_head(const Shape& shape, const float* x, const std::vector<float>& weight,
                                     const std::vector<float>& factors, int32_t position) {
    double squares = 0;
    for (uint32_t i = 0; i < shape.head_dim; ++i) squares += double{x[i]} * x[i];
    const double norm = 1 / std::sqrt(squares / shape.head_dim + double{kEpsilon});
    std::vector<Expected> head(shape.head_dim);
    for (uint32_t i = 0; i < shape.head_dim; ++i) {
        const double value = shape.norms ? x[i] * norm * weight[i] : double{x[i]};
        head[i] = {value, std::abs(value), kLeastNormal * (shape.norms ? 2 + norm * std::abs(weight[i]) : 1)};
    }
    const uint32_t n_pairs = shape.rope_dims / 2;
    for (uint32_t pair = 0; pair < n_pairs; ++pair) {
        const bool halves = shape.style == RopeStyle::kHalfSplit;
        Expected& first = head[halves ? pair : 2 * pair];
        Expected& second = head[halves ? pair + n_pairs : 2 * pair + 1];
        double angle = position * std::pow(shape.base, -2.0 * pair / shape.rope_dims) * shape.frequency_scale;
        if (shape.factors) angle /= double{factors[pair]};
        const double a = first.value;
        const double b = second.value;
        const double magnitude = (first.magnitude + second.magnitude) * kAttentionFactor;
        const double floor = (first.floor + second.floor) * kAttentionFactor;
        first = {(a * std::cos(angle) - b * std::sin(angle)) * kAttentionFactor, magnitude, floor};
        second = {(a * std::sin(angle) + b * std::cos(angle)) * kAttentionFactor, magnitude, floor};
    }
    return head;
}

std::vector<Expected> plain_head(const float* x, uint32_t head_dim) {
    std::vector<Expected> head;
    for (uint32_t i = 0; i < head_dim; ++i) head.push_back({x[i], std::abs(double{x[i]}), kLeastNormal});
    return head;
}

/// How far a number that was packed into a row may be from the one that went in.
std::vector<Expected> as_packed(TensorType type, std::span<const Expected> head) {
    std::vector<Expected> packed(head.begin(), head.end());
    if (type == TensorType::kF16) {
        // Vulkan leaves the direction of rounding to the driver: one unit in the last place, 2^-10 of it or
        // 2^-24, and what is too large for a half may become its largest number or infinity.
        for (Expected& e : packed) {
            e.floor += std::abs(e.value) * 0x1p-10 + kv_least_normal(type);
            if (std::abs(e.value) >= 65504) e.magnitude = INFINITY;
        }
    }
    if (type != TensorType::kQ8_0) return packed;
    for (size_t block = 0; block < packed.size(); block += 32) {
        double largest = 0;
        bool finite = true;
        for (size_t i = block; i < block + 32; ++i) {
            largest = std::max(largest, std::abs(head[i].value));
            finite = finite && std::isfinite(head[i].value);
        }
        for (size_t i = block; i < block + 32; ++i) {
            if (!finite) packed[i].value = NAN;
            packed[i].floor += largest / 127 * 0.501 + kv_least_normal(type);
        }
    }
    return packed;
}

/// The cache of K or of V: rows [KV head, position]; an empty one must keep its poison.
using ExpectedCache = std::vector<std::vector<Expected>>;

/// A Q8_0 row is off by half of 127 steps in each but one number of 32, and one of halves by 2^-10, at most.
Tolerance tolerance(TensorType type) {
    const double nmse = type == TensorType::kF32 ? 1e-10 : type == TensorType::kF16 ? 1e-6 : 5e-4;
    return {.relative = kRelative, .nmse = nmse};
}

void check_cache(std::string_view what, const Shape& shape, TensorType type, const ExpectedCache& expected,
                 const std::vector<std::byte>& actual) {
    const uint64_t row_bytes = kv_row_bytes(type, shape.head_dim);
    for (size_t row = 0; row < expected.size(); ++row) {
        const std::byte* at = actual.data() + row * row_bytes;
        const std::string where = fmt::format("{}: {}, KV head {}, position {}", shape.name(), what,
                                              row / shape.n_context, row % shape.n_context);
        if (!expected[row].empty()) {
            check_numbers(where, as_packed(type, expected[row]), decode_kv_row(type, at, shape.head_dim),
                          tolerance(type));
            continue;
        }
        const std::byte* changed =
            std::find_if(at, at + row_bytes, [](std::byte b) { return b != std::byte{0xFF}; });
        require(changed == at + row_bytes, "{}: byte {} was written", where, changed - at);
    }
}

void check_shape(CaseContext& c, const KernelKey& cell, const Shape& shape,
                 const std::function<void(Inputs&)>& change = {}) {
    Inputs inputs = random_inputs(c.random(), shape);
    if (change) change(inputs);
    QkNormRopeArgs args;
    auto q_out = c.output<float>(inputs.q.size());
    if (shape.in_place) q_out.fill(inputs.q);
    args.q = shape.in_place ? q_out.address() : upload_shifted(c, inputs.q, 4);
    args.q_out = q_out.address();
    args.k = upload_shifted(c, inputs.k, 8);
    args.v = upload_shifted(c, inputs.v, 12);
    if (shape.padding != 0) {
        args.q_stride = args.q_out_stride = shape.q_stride();
        args.k_stride = args.v_stride = shape.kv_stride();
    }
    if (shape.norms) {
        args.q_norm = upload_shifted(c, inputs.q_norm, 4);
        args.k_norm = upload_shifted(c, inputs.k_norm, 4);
    }
    args.norm_epsilon = kEpsilon;
    args.positions = upload_shifted(c, shape.positions, 4);
    if (shape.rope_dims != 0) {
        args.rope_table = upload_shifted(
            c, rope_table(shape.rope_dims, shape.base, shape.frequency_scale, inputs.factors), 4);
    }
    args.rope_dims = shape.rope_dims;
    args.rope_style = shape.style;
    args.attention_factor = kAttentionFactor;
    const uint64_t cache_bytes = kv_layer_bytes(cell.type, shape.n_kv_heads, shape.n_context, shape.head_dim);
    auto k_cache = c.output<std::byte>(cache_bytes);
    auto v_cache = c.output<std::byte>(cache_bytes);
    args.k_cache = k_cache.address();
    args.v_cache = v_cache.address();
    args.kv_type = cell.type;
    args.n_tokens = shape.n_tokens();
    args.n_heads = shape.n_heads();
    args.n_kv_heads = shape.n_kv_heads;
    args.head_dim = shape.head_dim;
    args.n_context = shape.n_context;
    args.path = cell.path;
    c.run({qk_norm_rope(c.kernels(), args)});

    const std::vector<float> q_actual = q_out.read();
    ExpectedCache k_expected(size_t{shape.n_kv_heads} * shape.n_context);
    ExpectedCache v_expected = k_expected;
    for (uint32_t token = 0; token < shape.n_tokens(); ++token) {
        const size_t q_at = size_t{token} * shape.q_stride();
        // What is not the token's keeps the poison, or its number where Q is turned in place.
        std::vector<Expected> q_expected;
        for (uint32_t i = 0; i < shape.q_stride(); ++i)
            q_expected.push_back({inputs.q[q_at + i], 0, 0, shape.in_place});
        if (shape.inside(token)) {
            for (uint32_t head = 0; head < shape.n_heads(); ++head) {
                const uint32_t at = head * shape.head_dim;
                const std::vector<Expected> turned = reference_head(
                    shape, &inputs.q[q_at + at], inputs.q_norm, inputs.factors, shape.positions[token]);
                std::copy(turned.begin(), turned.end(), q_expected.begin() + at);
            }
            for (uint32_t head = 0; head < shape.n_kv_heads; ++head) {
                const size_t at = size_t{token} * shape.kv_stride() + head * shape.head_dim;
                const size_t row =
                    size_t{head} * shape.n_context + static_cast<uint32_t>(shape.positions[token]);
                k_expected[row] = reference_head(shape, &inputs.k[at], inputs.k_norm, inputs.factors,
                                                 shape.positions[token]);
                v_expected[row] = plain_head(&inputs.v[at], shape.head_dim);
            }
        }
        check_numbers(fmt::format("{}: Q of token {}", shape.name(), token), q_expected,
                      std::span(q_actual).subspan(q_at, shape.q_stride()), tolerance(TensorType::kF32));
    }
    check_cache("K", shape, cell.type, k_expected, k_cache.read());
    check_cache("V", shape, cell.type, v_expected, v_cache.read());
}

/// Every row at most once, in any order, and now and then tokens that have no row.
std::vector<int32_t> random_positions(std::mt19937& random, uint32_t n_tokens, uint32_t n_context) {
    std::vector<int32_t> rows(n_context);
    std::iota(rows.begin(), rows.end(), 0);
    std::shuffle(rows.begin(), rows.end(), random);
    rows.resize(n_tokens);
    if (random_bool(random)) return rows;
    for (int32_t outside : {-1, static_cast<int32_t>(n_context), std::numeric_limits<int32_t>::min()})
        rows.insert(rows.begin() + random_below(random, n_tokens), outside);
    return rows;
}

/// All but head_dim and style, which make the pipeline.
void vary(std::mt19937& random, Shape& shape) {
    const uint32_t n = shape.head_dim;
    shape.ratio = pick(random, std::vector<uint32_t>{1, 2, 8, 12});
    shape.n_kv_heads = 1 + random_below(random, 3);
    shape.rope_dims = pick(random, std::vector<uint32_t>{n, n, n / 2, n / 4 + 2, 0});
    shape.base = pick(random, std::vector<double>{10000, 1000000});
    shape.frequency_scale = random_bool(random) ? 0.25 : 1.0;
    shape.factors = random_bool(random);
    shape.norms = random_bool(random);
    shape.in_place = random_bool(random);
    shape.padding = pick(random, std::vector<uint32_t>{0, 0, 5});
    shape.n_context = pick(random, std::vector<uint32_t>{20, 77, 300});
    shape.positions =
        random_positions(random, pick(random, std::vector<uint32_t>{1, 2, 9, 17}), shape.n_context);
}

void any_shapes(CaseContext& c, const KernelKey& cell, uint32_t head_dim, RopeStyle style,
                uint32_t n_shapes) {
    for (uint32_t i = 0; i < n_shapes; ++i) {
        Shape shape;
        shape.head_dim = head_dim;
        shape.style = style;
        vary(c.random(), shape);
        check_shape(c, cell, shape);
    }
}

void large_positions(CaseContext& c, const KernelKey& cell, uint32_t n_context) {
    Shape shape;
    shape.n_context = n_context;
    const int32_t last = static_cast<int32_t>(n_context) - 1;
    shape.positions = {last / 4 * 3, last / 4 * 3 + 1, last, last / 2 + 2, 3};
    check_shape(c, cell, shape);
}

Shape three_tokens() {
    Shape shape;
    shape.ratio = 2;
    shape.positions = {3, 9, 5};
    return shape;
}

/// All zeros in one head, and numbers whose scale has no inverse in float32, or that are subnormal.
void tiny_numbers(CaseContext& c, const KernelKey& cell) {
    Shape shape = three_tokens();
    for (const bool norms : {false, true}) {
        shape.norms = norms;
        check_shape(c, cell, shape, [&](Inputs& inputs) {
            for (std::vector<float>* x : {&inputs.q, &inputs.k, &inputs.v}) {
                const size_t row = x->size() / 3;
                std::fill_n(x->begin(), row, 0.0f);
                for (size_t i = row; i < 2 * row; ++i) (*x)[i] *= 0x1p-122f;
                for (size_t i = 2 * row; i < 3 * row; ++i) (*x)[i] *= 0x1p-128f;
            }
        });
    }
}

/// Near the ends of half and of float32.
void large_numbers(CaseContext& c, const KernelKey& cell) {
    check_shape(c, cell, three_tokens(), [&](Inputs& inputs) {
        for (std::vector<float>* x : {&inputs.q, &inputs.k, &inputs.v})
            for (size_t i = x->size() / 3; i < x->size(); ++i)
                (*x)[i] *= i < x->size() / 3 * 2 ? 10000.0f : 0x1p110f;
    });
}

/// In one number each of Q, K and V of the second token, which must not touch the others.
void not_finite(CaseContext& c, const KernelKey& cell, float special) {
    Shape shape = three_tokens();
    for (const bool norms : {false, true}) {
        shape.norms = norms;
        check_shape(c, cell, shape, [&](Inputs& inputs) {
            for (std::vector<float>* x : {&inputs.q, &inputs.k, &inputs.v}) {
                const uint32_t row = static_cast<uint32_t>(x->size() / 3);
                (*x)[row + random_below(c.random(), row)] = special;
            }
        });
    }
}

}  // namespace

std::vector<Case> qk_norm_rope_cases(const KernelKey& cell, Depth depth) {
    const auto shapes = [cell](uint32_t head_dim, RopeStyle style, uint32_t n_shapes) {
        return [=](CaseContext& c) { any_shapes(c, cell, head_dim, style, n_shapes); };
    };
    // A head_dim and a style are a pipeline of their own: quick cases share few.
    std::vector<Case> cases = {
        {"any shapes, dimensions in halves", shapes(64, RopeStyle::kHalfSplit, 6)},
        {"any shapes, dimensions interleaved", shapes(96, RopeStyle::kInterleaved, 6)},
        {"large positions", [=](CaseContext& c) { large_positions(c, cell, 5000); }},
        {"tiny numbers", [=](CaseContext& c) { tiny_numbers(c, cell); }},
        {"large numbers", [=](CaseContext& c) { large_numbers(c, cell); }},
        {"a NaN stays in its head", [=](CaseContext& c) { not_finite(c, cell, kNan); }},
        {"an infinity stays in its head", [=](CaseContext& c) { not_finite(c, cell, kInfinity); }},
    };
    if (depth == Depth::kQuick) return cases;
    for (uint32_t head_dim = 32; head_dim <= 256; head_dim += 32) {
        for (const RopeStyle style : {RopeStyle::kHalfSplit, RopeStyle::kInterleaved}) {
            cases.push_back({fmt::format("head_dim {}, {}", head_dim,
                                         style == RopeStyle::kHalfSplit ? "halves" : "interleaved"),
                             shapes(head_dim, style, 4)});
        }
    }
    cases.push_back({"positions to 131071", [=](CaseContext& c) { large_positions(c, cell, 131072); }});
    return cases;
}

}  // namespace vkmoe::conformance
