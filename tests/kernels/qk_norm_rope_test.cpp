#include "kernels/qk_norm_rope.h"

#include "base/error.h"
#include "kernels/kernel_fixture.h"
#include "kernels/kv_rows.h"

#include <numeric>

namespace vkmoe {
namespace {

constexpr TensorType kKvTypes[] = {TensorType::kF32, TensorType::kF16, TensorType::kQ8_0};

struct Case {
    TensorType type = TensorType::kF32;
    Path path = Path::kScalar;
    uint32_t ratio = 1;
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
    bool inside(uint32_t token) const {
        return positions[token] >= 0 && static_cast<uint32_t>(positions[token]) < n_context;
    }
};

constexpr float kEpsilon = 1e-6f;
constexpr float kAttentionFactor = 1.25f;

/// The head's numbers after norm and rotation.
std::vector<double> reference_head(const Case& c, const float* x, const std::vector<float>& weight,
                                   const std::vector<float>& factors, int32_t position) {
    double squares = 0;
    for (uint32_t i = 0; i < c.head_dim; ++i) squares += double{x[i]} * x[i];
    const double norm = 1 / std::sqrt(squares / c.head_dim + kEpsilon);
    std::vector<double> head(c.head_dim);
    for (uint32_t i = 0; i < c.head_dim; ++i) head[i] = c.norms ? x[i] * norm * weight[i] : double{x[i]};
    const uint32_t n_pairs = c.rope_dims / 2;
    for (uint32_t pair = 0; pair < n_pairs; ++pair) {
        const uint32_t first = c.style == RopeStyle::kHalfSplit ? pair : 2 * pair;
        const uint32_t second = c.style == RopeStyle::kHalfSplit ? pair + n_pairs : 2 * pair + 1;
        double angle = position * std::pow(c.base, -2.0 * pair / c.rope_dims) * c.frequency_scale;
        if (c.factors) angle /= double{factors[pair]};
        const double a = head[first];
        const double b = head[second];
        head[first] = (a * std::cos(angle) - b * std::sin(angle)) * kAttentionFactor;
        head[second] = (a * std::sin(angle) + b * std::cos(angle)) * kAttentionFactor;
    }
    return head;
}

/// A packed row against the numbers that went into it.
void expect_row(TensorType type, const std::byte* row, std::span<const double> expected) {
    const uint32_t head_dim = static_cast<uint32_t>(expected.size());
    const std::vector<float> actual = decode_kv_row(type, row, head_dim);
    ASSERT_TRUE(std::all_of(actual.begin(), actual.end(), [](float x) { return std::isfinite(x); }));
    if (type == TensorType::kF32) {
        ASSERT_LE(nmse(expected, actual), 1e-10);
        return;
    }
    for (uint32_t i = 0; i < head_dim; ++i) {
        if (type == TensorType::kF16) {
            // Vulkan leaves the direction of rounding to the driver: one unit in the last place, 2^-10,
            // whichever it is.
            ASSERT_NEAR(actual[i], expected[i], std::abs(expected[i]) * 0x1p-10 + 1e-6) << "dimension " << i;
            continue;
        }
        double largest = 0;
        for (uint32_t j = i / 32 * 32; j < i / 32 * 32 + 32; ++j)
            largest = std::max(largest, std::abs(expected[j]));
        ASSERT_NEAR(actual[i], expected[i], largest / 127 * 0.501) << "dimension " << i;
    }
}

class QkNormRopeTest : public KernelTest {
  protected:
    std::vector<float> normal_values(size_t n) {
        std::normal_distribution<float> normal;
        std::vector<float> values(n);
        for (float& value : values) value = normal(random());
        return values;
    }

    void expect_cache(const Case& c, const std::vector<std::byte>& cache, uint32_t kv_head, uint32_t position,
                      std::span<const double> expected, std::vector<bool>& written) {
        const uint64_t row_bytes = kv_row_bytes(c.type, c.head_dim);
        const uint64_t row = uint64_t{kv_head} * c.n_context + position;
        written[row] = true;
        ASSERT_NO_FATAL_FAILURE(expect_row(c.type, cache.data() + row * row_bytes, expected))
            << "KV head " << kv_head << " position " << position;
    }

    void expect_untouched(const Case& c, const std::vector<std::byte>& cache,
                          const std::vector<bool>& written) {
        const uint64_t row_bytes = kv_row_bytes(c.type, c.head_dim);
        for (size_t row = 0; row < written.size(); ++row) {
            if (written[row]) continue;
            const auto begin = cache.begin() + static_cast<int64_t>(row * row_bytes);
            ASSERT_TRUE(std::all_of(begin, begin + static_cast<int64_t>(row_bytes),
                                    [](std::byte b) { return b == std::byte{0xFF}; }))
                << "cache row " << row << " was written";
        }
    }

    void run_case(const Case& c) {
        SCOPED_TRACE(fmt::format(
            "type {} path {} ratio {} kv heads {} head_dim {} context {} rope_dims {} style {} norms {} in "
            "place {} positions {}",
            tensor_type_info(c.type).name, path_name(c.path), c.ratio, c.n_kv_heads, c.head_dim, c.n_context,
            c.rope_dims, static_cast<uint32_t>(c.style), c.norms, c.in_place, fmt::join(c.positions, ",")));
        const uint32_t n_heads = c.ratio * c.n_kv_heads;
        const uint32_t q_stride = n_heads * c.head_dim + c.padding;
        const uint32_t kv_stride = c.n_kv_heads * c.head_dim + c.padding;
        const std::vector<float> q = normal_values(c.n_tokens() * q_stride);
        const std::vector<float> k = normal_values(c.n_tokens() * kv_stride);
        const std::vector<float> v = normal_values(c.n_tokens() * kv_stride);
        const std::vector<float> q_norm = normal_values(c.head_dim);
        const std::vector<float> k_norm = normal_values(c.head_dim);
        std::vector<float> factors;
        if (c.factors)
            for (uint32_t i = 0; i < c.rope_dims / 2; ++i)
                factors.push_back(1.0f + static_cast<float>(i) / 3);

        QkNormRopeArgs args;
        auto q_out = output<float>(q.size());
        if (c.in_place) q_out.fill(q);
        args.q = c.in_place ? q_out.address() : upload(q).address;
        args.q_out = q_out.address();
        args.k = upload(k).address;
        args.v = upload(v).address;
        if (c.padding != 0) {
            args.q_stride = args.q_out_stride = q_stride;
            args.k_stride = args.v_stride = kv_stride;
        }
        if (c.norms) {
            args.q_norm = upload(q_norm).address;
            args.k_norm = upload(k_norm).address;
        }
        args.norm_epsilon = kEpsilon;
        args.positions = upload(c.positions).address;
        if (c.rope_dims != 0)
            args.rope_table = upload(rope_table(c.rope_dims, c.base, c.frequency_scale, factors)).address;
        args.rope_dims = c.rope_dims;
        args.rope_style = c.style;
        args.attention_factor = kAttentionFactor;
        const uint64_t cache_bytes = kv_layer_bytes(c.type, c.n_kv_heads, c.n_context, c.head_dim);
        auto k_cache = output<std::byte>(cache_bytes);
        auto v_cache = output<std::byte>(cache_bytes);
        args.k_cache = k_cache.address();
        args.v_cache = v_cache.address();
        args.kv_type = c.type;
        args.n_tokens = c.n_tokens();
        args.n_heads = n_heads;
        args.n_kv_heads = c.n_kv_heads;
        args.head_dim = c.head_dim;
        args.n_context = c.n_context;
        args.path = c.path;
        run({qk_norm_rope(context(), args)});

        const std::vector<float> q_actual = q_out.read();
        const std::vector<std::byte> k_actual = k_cache.read();
        const std::vector<std::byte> v_actual = v_cache.read();
        std::vector<bool> written(uint64_t{c.n_kv_heads} * c.n_context);
        for (uint32_t token = 0; token < c.n_tokens(); ++token) {
            const float* q_row = q.data() + token * q_stride;
            for (uint32_t i = 0; i < q_stride; ++i) {
                if (c.inside(token) && i < n_heads * c.head_dim) continue;
                const float actual = q_actual[token * q_stride + i];
                ASSERT_TRUE(c.in_place ? actual == q_row[i] : std::isnan(actual))
                    << "token " << token << " float " << i;
            }
            if (!c.inside(token)) continue;
            for (uint32_t head = 0; head < n_heads; ++head) {
                const std::vector<double> expected =
                    reference_head(c, q_row + head * c.head_dim, q_norm, factors, c.positions[token]);
                const std::span<const float> actual(q_actual.data() + token * q_stride + head * c.head_dim,
                                                    c.head_dim);
                ASSERT_LE(nmse(expected, actual), 1e-10) << "token " << token << " head " << head;
            }
            const uint32_t position = static_cast<uint32_t>(c.positions[token]);
            for (uint32_t head = 0; head < c.n_kv_heads; ++head) {
                const float* k_head = k.data() + token * kv_stride + head * c.head_dim;
                const float* v_head = v.data() + token * kv_stride + head * c.head_dim;
                expect_cache(c, k_actual, head, position,
                             reference_head(c, k_head, k_norm, factors, c.positions[token]), written);
                expect_cache(c, v_actual, head, position, std::vector<double>(v_head, v_head + c.head_dim),
                             written);
            }
        }
        expect_untouched(c, k_actual, written);
        expect_untouched(c, v_actual, written);
    }

    Case random_case(TensorType type, Path path) {
        const auto pick = [this](std::initializer_list<uint32_t> choices) {
            return choices.begin()[random()() % choices.size()];
        };
        Case c;
        c.type = type;
        c.path = path;
        c.ratio = pick({1, 2, 8, 12});
        c.n_kv_heads = pick({1, 2, 3});
        c.head_dim = pick({32, 64, 96, 128, 192, 256});
        c.rope_dims = pick({c.head_dim, c.head_dim, c.head_dim / 2, c.head_dim / 4 + 2, 0});
        c.style = pick({0, 1}) != 0 ? RopeStyle::kInterleaved : RopeStyle::kHalfSplit;
        c.base = pick({10000, 1000000});
        c.frequency_scale = pick({0, 1}) != 0 ? 0.25 : 1.0;
        c.factors = pick({0, 1}) != 0;
        c.norms = pick({0, 1}) != 0;
        c.in_place = pick({0, 1}) != 0;
        c.padding = pick({0, 0, 5});
        c.n_context = pick({20, 77, 300});
        // Every row at most once, in any order; and some tokens that have no row.
        std::vector<int32_t> rows(c.n_context);
        std::iota(rows.begin(), rows.end(), 0);
        std::shuffle(rows.begin(), rows.end(), random());
        c.positions.assign(rows.begin(), rows.begin() + pick({1, 2, 9, 17}));
        if (pick({0, 1}) != 0) {
            for (int32_t outside :
                 {-1, static_cast<int32_t>(c.n_context), std::numeric_limits<int32_t>::min()})
                c.positions.insert(c.positions.begin() + random()() % c.positions.size(), outside);
        }
        return c;
    }
};

TEST_F(QkNormRopeTest, MatchesReference) {
    for (TensorType type : kKvTypes)
        for (Path path : paths(Op::kQkNormRope, type))
            for (int i = 0; i < 10; ++i) {
                run_case(random_case(type, path));
                if (HasFatalFailure()) return;
            }
}

TEST_F(QkNormRopeTest, IsExactAtLargePositions) {
    for (Path path : paths(Op::kQkNormRope, TensorType::kF16)) {
        Case c;
        c.type = TensorType::kF16;
        c.path = path;
        c.head_dim = c.rope_dims = 64;
        c.n_context = 131072;
        c.positions = {99999, 100000, 131071, 65537, 3};
        run_case(c);
    }
}

/// All zeros, and numbers whose scale has no inverse in float32.
TEST_F(QkNormRopeTest, PacksTinyRows) {
    for (Path path : paths(Op::kQkNormRope, TensorType::kQ8_0)) {
        const std::vector<float> q(32, 1.0f);
        std::vector<float> k(32, 0.0f);
        const std::vector<float> v(32, 1e-38f);
        QkNormRopeArgs args;
        auto q_out = output<float>(32);
        auto k_cache = output<std::byte>(kv_row_bytes(TensorType::kQ8_0, 32));
        auto v_cache = output<std::byte>(kv_row_bytes(TensorType::kQ8_0, 32));
        args.q = upload(q).address;
        args.k = upload(k).address;
        args.v = upload(v).address;
        args.q_out = q_out.address();
        args.k_cache = k_cache.address();
        args.v_cache = v_cache.address();
        args.positions = upload(std::vector<int32_t>{0}).address;
        args.kv_type = TensorType::kQ8_0;
        args.n_tokens = args.n_heads = args.n_kv_heads = args.n_context = 1;
        args.head_dim = 32;
        args.path = path;
        run({qk_norm_rope(context(), args)});
        const std::vector<float> zeros(32, 0.0f);
        EXPECT_EQ(decode_kv_row(TensorType::kQ8_0, k_cache.read().data(), 32), zeros);
        EXPECT_EQ(decode_kv_row(TensorType::kQ8_0, v_cache.read().data(), 32), zeros);
        EXPECT_EQ(q_out.read(), q);
    }
}

TEST_F(QkNormRopeTest, RopeTableIsTurnsInFixedPoint) {
    // A quarter turn a position: base^0 * scale / (2 pi).
    const std::vector<uint32_t> table =
        rope_table(4, 16, 3.14159265358979323846 / 2, std::vector<float>{1.0f, 0.5f});
    ASSERT_EQ(table.size(), 4u);
    const auto turns = [&](size_t pair) { return table[2 * pair] * 0x1p-32 + table[2 * pair + 1] * 0x1p-64; };
    EXPECT_NEAR(turns(0), 0.25, 1e-15);
    EXPECT_NEAR(turns(1), 0.25 / 4 / 0.5, 1e-15);
    EXPECT_THROW(rope_table(3, 10000), Error);
    EXPECT_THROW(rope_table(4, 0), Error);
    EXPECT_THROW(rope_table(4, 10000, 1, std::vector<float>{1.0f}), Error);
    EXPECT_THROW(rope_table(4, 10000, 1, std::vector<float>{1.0f, 0.0f}), Error);
}

TEST_F(QkNormRopeTest, RefusesWhatDoesNotFit) {
    QkNormRopeArgs good;
    good.q = good.k = good.v = good.q_out = good.positions = good.rope_table = good.k_cache = good.v_cache =
        0x1000;
    good.n_tokens = 1;
    good.n_heads = 4;
    good.n_kv_heads = 2;
    good.head_dim = good.rope_dims = 64;
    good.n_context = 16;
    EXPECT_NO_THROW(qk_norm_rope(context(), good));
    const auto refuses = [&](auto change) {
        QkNormRopeArgs args = good;
        change(args);
        EXPECT_THROW(qk_norm_rope(context(), args), Error);
    };
    refuses([](QkNormRopeArgs& args) { args.q = 0; });
    refuses([](QkNormRopeArgs& args) { args.v_cache += 4; });
    refuses([](QkNormRopeArgs& args) { args.rope_table = 0; });
    refuses([](QkNormRopeArgs& args) { args.rope_dims = 66; });
    refuses([](QkNormRopeArgs& args) { args.rope_dims = 31; });
    refuses([](QkNormRopeArgs& args) { args.head_dim = 288; });
    refuses([](QkNormRopeArgs& args) { args.n_heads = 5; });
    refuses([](QkNormRopeArgs& args) { args.k_stride = 100; });
    refuses([](QkNormRopeArgs& args) { args.kv_type = TensorType::kBF16; });
}

}  // namespace
}  // namespace vkmoe
