#include "kernels/attention.h"

#include "base/error.h"
#include "kernels/kernel_fixture.h"
#include "kernels/kv_rows.h"
#include "kernels/row_checks.h"

namespace vkmoe {
namespace {

constexpr TensorType kKvTypes[] = {TensorType::kF32, TensorType::kF16, TensorType::kQ8_0};

uint32_t pick(std::mt19937& random, std::initializer_list<uint32_t> choices) {
    return choices.begin()[random() % choices.size()];
}

uint32_t between(std::mt19937& random, uint32_t least, uint32_t most) {
    return std::uniform_int_distribution<uint32_t>(least, most)(random);
}

struct Case {
    TensorType type = TensorType::kF32;
    Path path = Path::kScalar;
    uint32_t n_tokens = 1;
    uint32_t ratio = 1;
    uint32_t n_kv_heads = 1;
    uint32_t head_dim = 32;
    uint32_t n_context = 1;
    uint32_t window = 0;
    uint32_t n_splits = 1;
    uint32_t q_padding = 0;  // floats between rows of Q
    bool float_output = true;
    bool q8_output = false;
    AttentionTuning tuning;
    std::vector<int32_t> positions;

    uint32_t n_heads() const { return n_kv_heads * ratio; }
    uint32_t row_floats() const { return n_heads() * head_dim; }
    float scale() const { return 1.3f / std::sqrt(static_cast<float>(head_dim)); }
};

std::string describe(const Case& c) {
    return fmt::format(
        "type {} path {} tokens {} ratio {} kv heads {} head_dim {} context {} window {} splits {} tuning {} "
        "{} {} {} positions {}",
        tensor_type_info(c.type).name, path_name(c.path), c.n_tokens, c.ratio, c.n_kv_heads, c.head_dim,
        c.n_context, c.window, c.n_splits, c.tuning.queries, c.tuning.rows, c.tuning.cluster,
        c.tuning.words_at_once, fmt::join(c.positions, ","));
}

/// K or V with normally distributed rows up to the last position; the rows beyond are all ones bits: NaNs.
std::vector<std::byte> random_cache(std::mt19937& random, const Case& c) {
    const uint64_t row_bytes = kv_row_bytes(c.type, c.head_dim);
    std::vector<std::byte> cache(kv_layer_bytes(c.type, c.n_kv_heads, c.n_context, c.head_dim),
                                 std::byte{0xFF});
    int32_t last = -1;
    for (int32_t position : c.positions)
        if (position < static_cast<int32_t>(c.n_context)) last = std::max(last, position);
    std::normal_distribution<float> normal;
    std::vector<float> values(c.head_dim);
    for (uint32_t head = 0; head < c.n_kv_heads; ++head)
        for (int32_t row = 0; row <= last; ++row) {
            for (float& value : values) value = normal(random);
            encode_kv_row(c.type, values, cache.data() + (uint64_t{head} * c.n_context + row) * row_bytes);
        }
    return cache;
}

std::vector<double> reference(const Case& c, std::span<const float> q, std::span<const std::byte> k_cache,
                              std::span<const std::byte> v_cache) {
    const uint64_t row_bytes = kv_row_bytes(c.type, c.head_dim);
    std::vector<double> out(uint64_t{c.n_tokens} * c.row_floats(), 0.0);
    for (uint32_t kv_head = 0; kv_head < c.n_kv_heads; ++kv_head) {
        std::vector<std::vector<float>> k;
        std::vector<std::vector<float>> v;
        for (uint32_t row = 0; row < c.n_context; ++row) {
            const uint64_t at = (uint64_t{kv_head} * c.n_context + row) * row_bytes;
            k.push_back(decode_kv_row(c.type, k_cache.data() + at, c.head_dim));
            v.push_back(decode_kv_row(c.type, v_cache.data() + at, c.head_dim));
        }
        for (uint32_t token = 0; token < c.n_tokens; ++token) {
            const int64_t position = c.positions[token];
            if (position < 0 || position >= c.n_context) continue;
            const int64_t first = c.window == 0 ? 0 : std::max<int64_t>(0, position - c.window + 1);
            for (uint32_t head = kv_head * c.ratio; head < (kv_head + 1) * c.ratio; ++head) {
                const float* query =
                    q.data() + uint64_t{token} * (c.row_floats() + c.q_padding) + head * c.head_dim;
                std::vector<double> scores;
                double greatest = -INFINITY;
                for (int64_t row = first; row <= position; ++row) {
                    double score = 0;
                    for (uint32_t i = 0; i < c.head_dim; ++i) score += double{query[i]} * k[row][i];
                    scores.push_back(score * c.scale());
                    greatest = std::max(greatest, scores.back());
                }
                double sum = 0;
                for (double& score : scores) sum += score = std::exp(score - greatest);
                double* result = out.data() + uint64_t{token} * c.row_floats() + head * c.head_dim;
                for (int64_t row = first; row <= position; ++row)
                    for (uint32_t i = 0; i < c.head_dim; ++i)
                        result[i] += scores[row - first] / sum * v[row][i];
            }
        }
    }
    return out;
}

class AttentionTest : public KernelTest {
  protected:
    void run_case(const Case& c) {
        SCOPED_TRACE(describe(c));
        std::normal_distribution<float> normal;
        std::vector<float> q(uint64_t{c.n_tokens} * (c.row_floats() + c.q_padding));
        for (float& value : q) value = normal(random());
        const std::vector<std::byte> k_cache = random_cache(random(), c);
        const std::vector<std::byte> v_cache = random_cache(random(), c);

        AttentionArgs args;
        args.q = input<float>(q);
        args.q_stride = c.q_padding != 0 ? c.row_floats() + c.q_padding : 0;
        args.k_cache = input<std::byte>(k_cache);
        args.v_cache = input<std::byte>(v_cache);
        args.positions = input<int32_t>(c.positions);
        args.kv_type = c.type;
        args.n_tokens = c.n_tokens;
        args.n_heads = c.n_heads();
        args.n_kv_heads = c.n_kv_heads;
        args.head_dim = c.head_dim;
        args.n_context = c.n_context;
        args.window = c.window;
        args.n_splits = c.n_splits;
        args.scale = c.scale();
        args.path = c.path;
        args.tuning = c.tuning;
        const uint64_t out_bytes = uint64_t{c.n_tokens} * c.row_floats() * sizeof(float);
        const uint64_t q8_bytes = c.n_tokens * q8_row_bytes(c.row_floats());
        const uint64_t scratch_bytes =
            attention_scratch_bytes(c.n_tokens, c.n_heads(), c.head_dim, c.n_splits, c.q8_output);
        Output out;
        Output q8_out;
        Output scratch;
        if (c.float_output) args.out = (out = output(out_bytes)).address();
        if (c.q8_output) args.q8_out = (q8_out = output(q8_bytes)).address();
        if (scratch_bytes != 0) args.scratch = (scratch = output(scratch_bytes)).address();
        run(attention(context(), args));

        const std::vector<double> expected = reference(c, q, k_cache, v_cache);
        if (c.float_output) {
            const std::vector<float> actual = out.read<float>();
            for (uint32_t row = 0; row < c.n_tokens * c.n_heads(); ++row) {
                const auto part = [&](auto& all) {
                    return std::span(all).subspan(uint64_t{row} * c.head_dim, c.head_dim);
                };
                ASSERT_LE(nmse(part(expected), part(actual)), 1e-6)
                    << "token " << row / c.n_heads() << " head " << row % c.n_heads();
            }
        }
        if (c.q8_output)
            expect_packed_rows(q8_out.read<std::byte>(), expected, c.n_tokens, c.row_floats(), 1e-4);
    }
};

/// Sizes of every kind, small enough that the reference is quick.
Case random_case(std::mt19937& random, TensorType type, Path path, uint32_t subgroup_size) {
    Case c;
    c.type = type;
    c.path = path;
    uint64_t work = 0;
    do {
        c.n_tokens = pick(random, {1, 1, 2, 3, between(random, 4, 17), between(random, 18, 70)});
        c.ratio = pick(random, {1, 2, 8, 12});
        c.n_kv_heads = between(random, 1, 3);
        c.head_dim = pick(random, {32, 64, 96, 128, 192, 256});
        c.n_context = between(random, c.n_tokens, c.n_tokens + pick(random, {3, 40, 300, 1100}));
        work = uint64_t{c.n_tokens} * c.n_heads() * c.n_context * c.head_dim;
    } while (work > 4'000'000);
    c.window = random() % 3 == 0 ? between(random, 1, c.n_context) : 0;
    c.n_splits = pick(random, {1, 1, 2, 3, 7, 40});
    c.q_padding = pick(random, {0, 0, 4, 32});
    c.q8_output = random() % 3 == 0;
    c.float_output = !c.q8_output || random() % 2 == 0;
    if (random() % 2 == 0) {
        c.tuning.queries = between(random, 1, 5);
        c.tuning.rows = between(random, 1, 3);
        c.tuning.cluster =
            path == Path::kScalar ? 1 : 1u << between(random, 0, std::bit_width(subgroup_size) - 1);
        c.tuning.words_at_once = between(random, 1, 4);
    }
    const int32_t start = static_cast<int32_t>(between(random, 0, c.n_context - c.n_tokens));
    for (uint32_t i = 0; i < c.n_tokens; ++i) c.positions.push_back(start + static_cast<int32_t>(i));
    if (random() % 3 == 0) std::shuffle(c.positions.begin(), c.positions.end(), random);
    return c;
}

TEST_F(AttentionTest, MatchesReference) {
    for (TensorType type : kKvTypes)
        for (Path path : paths(Op::kAttention, type))
            for (int i = 0; i < 6; ++i) {  // most are pipelines of their own, which take seconds to compile
                run_case(random_case(random(), type, path, context().plan().subgroup_size));
                if (HasFatalFailure()) return;
            }
}

TEST_F(AttentionTest, GivesZerosForTokensOutsideTheContext) {
    for (TensorType type : kKvTypes)
        for (Path path : paths(Op::kAttention, type))
            for (uint32_t n_splits : {1u, 3u}) {
                Case c;
                c.type = type;
                c.path = path;
                c.n_tokens = 5;
                c.ratio = 2;
                c.n_kv_heads = 2;
                c.head_dim = 64;
                c.n_context = 50;
                c.n_splits = n_splits;
                c.positions = {-1, 7, 50, 49, std::numeric_limits<int32_t>::min()};
                run_case(c);
                c.positions = {-1, -1, 50, 51, -7};
                run_case(c);
                if (HasFatalFailure()) return;
            }
}

/// A window much shorter than the context, with splits of which most see nothing.
TEST_F(AttentionTest, SkipsWhatTheWindowHides) {
    for (Path path : paths(Op::kAttention, TensorType::kF16))
        for (uint32_t n_splits : {1u, 5u}) {
            Case c;
            c.type = TensorType::kF16;
            c.path = path;
            c.n_tokens = 3;
            c.ratio = 8;
            c.head_dim = 128;
            c.n_context = 700;
            c.window = 65;
            c.n_splits = n_splits;
            c.positions = {600, 601, 602};
            run_case(c);
            if (HasFatalFailure()) return;
        }
}

/// Scores that grow by hundreds from row to row: sums must be taken relative to the greatest so far.
TEST_F(AttentionTest, StaysFiniteWithLargeScores) {
    for (Path path : paths(Op::kAttention, TensorType::kF32)) {
        constexpr uint32_t kRows = 200;
        constexpr uint32_t kHeadDim = 32;
        std::vector<float> k(kRows * kHeadDim, 0.0f);
        std::vector<float> v(kRows * kHeadDim);
        for (uint32_t row = 0; row < kRows; ++row) {
            k[row * kHeadDim] = 300.0f * static_cast<float>(row % 150);
            for (uint32_t i = 0; i < kHeadDim; ++i) v[row * kHeadDim + i] = static_cast<float>(row + i);
        }
        std::vector<float> q(kHeadDim, 0.0f);
        q[0] = 10;
        AttentionArgs args;
        args.q = input<float>(q);
        args.k_cache = input<float>(k);
        args.v_cache = input<float>(v);
        args.positions = input<int32_t>(std::vector<int32_t>{kRows - 1});
        auto out = output<float>(kHeadDim);
        args.out = out.address();
        args.kv_type = TensorType::kF32;
        args.n_tokens = args.n_heads = args.n_kv_heads = 1;
        args.head_dim = kHeadDim;
        args.n_context = kRows;
        args.path = path;
        run(attention(context(), args));
        const std::vector<float> actual = out.read();
        for (uint32_t i = 0; i < kHeadDim; ++i) EXPECT_NEAR(actual[i], 149.0f + static_cast<float>(i), 1e-3f);
    }
}

TEST_F(AttentionTest, SplitsFillTheDeviceAndNoMore) {
    const DevicePlan& plan = context().plan();
    EXPECT_EQ(attention_splits(plan, 1, 32, 4, 1), 1u);
    EXPECT_EQ(attention_splits(plan, 4096, 32, 4, 8192), 1u);
    EXPECT_GE(attention_splits(plan, 1, 32, 4, 8192), 4u);
    EXPECT_LE(attention_splits(plan, 1, 32, 4, 1u << 20), 256u);
    EXPECT_EQ(attention_scratch_bytes(3, 4, 64, 1, false), 0u);
    EXPECT_EQ(attention_scratch_bytes(1, 4, 64, 8, false), 4u * 8 * (2 + 64) * sizeof(float));
}

TEST_F(AttentionTest, RefusesWhatDoesNotFit) {
    AttentionArgs good;
    good.q = good.k_cache = good.v_cache = good.positions = good.out = good.scratch = 0x1000;
    good.n_tokens = 1;
    good.n_heads = 4;
    good.n_kv_heads = 2;
    good.head_dim = 64;
    good.n_context = 16;
    EXPECT_NO_THROW(attention(context(), good));
    const auto refuses = [&](auto change) {
        AttentionArgs args = good;
        change(args);
        EXPECT_THROW(attention(context(), args), Error);
    };
    refuses([](AttentionArgs& args) { args.q = 0; });
    refuses([](AttentionArgs& args) { args.k_cache += 4; });
    refuses([](AttentionArgs& args) { args.out = 0; });
    refuses([](AttentionArgs& args) { args.head_dim = 48; });
    refuses([](AttentionArgs& args) { args.head_dim = 288; });
    refuses([](AttentionArgs& args) { args.n_heads = 5; });
    refuses([](AttentionArgs& args) { args.n_splits = 0; });
    refuses([](AttentionArgs& args) { args.q_stride = 128; });
    refuses([](AttentionArgs& args) { args.kv_type = TensorType::kQ4_K; });
    refuses([](AttentionArgs& args) {
        args.n_splits = 2;
        args.scratch = 0;
    });
}

}  // namespace
}  // namespace vkmoe
