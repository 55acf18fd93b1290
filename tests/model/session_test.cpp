// One model, many ways to feed it.

#include "engine/session.h"

#include "kernels/kernel_fixture.h"
#include "model/reference_model.h"
#include "model/tiny_models.h"
#include "text/tokenizer.h"
#include "unit/error_matching.h"
#include "unit/temp_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

namespace vkmoe {
namespace {

constexpr size_t kPrompt = 40;
/// Different batches add numbers up in another order, no more.
constexpr double kSameNmse = 1e-8;

std::vector<float> copy(std::span<const float> values) {
    return {values.begin(), values.end()};
}

double distance(std::span<const float> expected, std::span<const float> actual) {
    return nmse(std::vector<double>(expected.begin(), expected.end()), actual);
}

/// A model with grouped heads, norms of heads and routes; float32, so that limits can be tight.
class SessionTest : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        folder_ = std::make_unique<TempFolder>();
        path_ = *folder_ / "tiny.gguf";
        make_tiny_file({.architecture = "qwen3moe", .seed = 31}).write(path_);
        model_ = Model::load(path_);
    }
    static void TearDownTestSuite() {
        model_.reset();
        folder_.reset();
    }

    /// With room for 64 tokens unless params say otherwise, and a float32 cache.
    static std::unique_ptr<Session> session(SessionParams params = {}) {
        if (params.n_context == 0) params.n_context = 64;
        params.kv_type = TensorType::kF32;
        return std::make_unique<Session>(model_, params);
    }
    static std::unique_ptr<Session> session_with_kv(TensorType type) {
        return std::make_unique<Session>(model_, SessionParams{.n_context = 64, .kv_type = type});
    }

    static size_t n_vocabulary() { return model_->hyper().n_vocabulary; }

    static std::vector<int32_t> prompt(uint32_t step = 37) {
        std::vector<int32_t> tokens(kPrompt);
        for (size_t i = 0; i < tokens.size(); ++i) {
            tokens[i] = static_cast<int32_t>((i * i * step + 5 * i + step) % n_vocabulary());
        }
        return tokens;
    }

    /// Logits after every token.
    static std::vector<float> all_logits(Session& session, std::span<const int32_t> tokens) {
        std::vector<float> logits(tokens.size() * n_vocabulary());
        session.feed(tokens, logits);
        return logits;
    }

    static inline std::unique_ptr<TempFolder> folder_;
    static inline std::string path_;
    static inline std::shared_ptr<Model> model_;
};

TEST_F(SessionTest, PrefillThenDecodeIsAllAtOnce) {
    const std::vector<int32_t> tokens = prompt();
    const std::vector<float> whole = all_logits(*session(), tokens);
    for (const size_t split : {size_t{1}, kPrompt / 2, kPrompt - 1}) {
        const auto parts = session();
        std::vector<float> logits = all_logits(*parts, std::span(tokens).first(split));
        EXPECT_EQ(parts->position(), split);
        for (size_t i = split; i < kPrompt; ++i) {
            parts->feed(std::span(tokens).subspan(i, 1));
            logits.insert(logits.end(), parts->logits().begin(), parts->logits().end());
        }
        EXPECT_EQ(parts->position(), kPrompt);
        EXPECT_LE(distance(whole, logits), kSameNmse) << "split at " << split;
    }
}

TEST_F(SessionTest, MicroBatchesOfAnySizeAreAllAtOnce) {
    const std::vector<int32_t> tokens = prompt();
    const std::vector<float> whole = all_logits(*session(), tokens);
    std::vector<uint64_t> counts;
    for (const uint32_t size : {1U, 3U, 8U, 9U, 64U}) {
        const auto batched = session({.n_micro_batch = size});
        EXPECT_LE(distance(whole, all_logits(*batched, tokens)), kSameNmse) << "micro-batches of " << size;
        EXPECT_LE(distance(std::span(whole).last(n_vocabulary()), batched->logits()), kSameNmse);
        if (counts.empty()) counts = batched->expert_counts();
        EXPECT_EQ(batched->expert_counts(), counts) << "micro-batches of " << size;
    }
}

TEST_F(SessionTest, ShorterKeysAndValuesStayNear) {
    const std::vector<int32_t> tokens = prompt();
    const std::vector<float> exact = all_logits(*session_with_kv(TensorType::kF32), tokens);
    const double f16 = distance(exact, all_logits(*session_with_kv(TensorType::kF16), tokens));
    const double q8_0 = distance(exact, all_logits(*session_with_kv(TensorType::kQ8_0), tokens));
    EXPECT_LE(f16, 1e-5);
    EXPECT_LE(q8_0, 1e-3);
    // Not the same cache under three names.
    EXPECT_GT(f16, 1e-10);
    EXPECT_GT(q8_0, f16);
    const auto bytes = [](TensorType type) { return session_with_kv(type)->stats().kv_bytes; };
    EXPECT_EQ(bytes(TensorType::kF16) * 2, bytes(TensorType::kF32));
    EXPECT_LT(bytes(TensorType::kQ8_0), bytes(TensorType::kF16));
}

TEST_F(SessionTest, TruncatedAndFedAgainGivesTheSameBits) {
    const std::vector<int32_t> tokens = prompt();
    const auto fed = session();
    fed->feed(std::span(tokens).first(20));
    const std::vector<float> rest = all_logits(*fed, std::span(tokens).subspan(20));
    const std::vector<float> last = copy(fed->logits());

    fed->truncate(20);
    EXPECT_EQ(fed->position(), 20U);
    expect_error(ErrorCode::kInvalidArgument, {"no logits"}, [&] { fed->logits(); });
    all_logits(*fed, prompt(91));  // other keys and values behind token 20
    fed->truncate(20);
    EXPECT_EQ(all_logits(*fed, std::span(tokens).subspan(20)), rest);
    EXPECT_EQ(copy(fed->logits()), last);

    expect_error(ErrorCode::kInvalidArgument, {"41", "40"}, [&] { fed->truncate(41); });
    EXPECT_EQ(fed->position(), kPrompt);
    // Nothing to forget: the logits stay.
    fed->truncate(kPrompt);
    EXPECT_EQ(copy(fed->logits()), last);
}

TEST_F(SessionTest, GreedyTakesTheLikeliestToken) {
    const auto fed = session();
    const auto asked = session();
    int32_t token = 7;
    for (int i = 0; i < 30; ++i) {
        fed->feed(std::span(&token, 1));
        const std::span<const float> logits = fed->logits();
        const auto likeliest = static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
        ASSERT_EQ(asked->feed_greedy(token), likeliest) << "after " << i << " tokens";
        token = likeliest;
    }
    EXPECT_EQ(asked->position(), 30U);
    expect_error(ErrorCode::kInvalidArgument, {"no logits"}, [&] { asked->logits(); });
}

TEST_F(SessionTest, GreedyTakesTheLowerOfEqualTokens) {
    // Rows of the output come twice: tokens i and i + 150 are equally likely always.
    TinyFile file = make_tiny_file({.seed = 32});
    std::vector<std::byte>& rows = file.tensors.at("output.weight").bytes;
    std::copy_n(rows.begin(), rows.size() / 2, rows.begin() + static_cast<std::ptrdiff_t>(rows.size() / 2));
    const std::string path = *folder_ / "twins.gguf";
    file.write(path);
    Session twins(Model::load(path), {.n_context = 64});
    int32_t token = 200;
    for (int i = 0; i < 20; ++i) {
        token = twins.feed_greedy(token);
        ASSERT_LT(token, 150);
    }
}

TEST_F(SessionTest, TheSameAgainGivesTheSameBits) {
    const std::vector<int32_t> tokens = prompt();
    const auto run = [&] {
        const auto fresh = session({.n_micro_batch = 16});
        std::vector<float> seen = all_logits(*fresh, tokens);
        int32_t token = tokens.back();
        for (int i = 0; i < 20; ++i) {
            token = fresh->feed_greedy(token);
            seen.push_back(static_cast<float>(token));
        }
        return seen;
    };
    EXPECT_EQ(run(), run());
}

TEST_F(SessionTest, SessionsOnOneModelDoNotDisturbEachOther) {
    const std::vector<int32_t> first = prompt(37);
    const std::vector<int32_t> second = prompt(91);
    const auto alone = [&](const std::vector<int32_t>& tokens) {
        const auto fresh = session();
        std::vector<float> logits;
        for (size_t i = 0; i < kPrompt; i += 10) {
            const std::vector<float> part = all_logits(*fresh, std::span(tokens).subspan(i, 10));
            logits.insert(logits.end(), part.begin(), part.end());
        }
        return std::pair(logits, fresh->expert_counts());
    };
    const auto a = session();
    const auto b = session();
    std::vector<float> a_logits;
    std::vector<float> b_logits;
    for (size_t i = 0; i < kPrompt; i += 10) {
        const std::vector<float> of_a = all_logits(*a, std::span(first).subspan(i, 10));
        const std::vector<float> of_b = all_logits(*b, std::span(second).subspan(i, 10));
        a_logits.insert(a_logits.end(), of_a.begin(), of_a.end());
        b_logits.insert(b_logits.end(), of_b.begin(), of_b.end());
    }
    EXPECT_EQ(std::pair(a_logits, a->expert_counts()), alone(first));
    EXPECT_EQ(std::pair(b_logits, b->expert_counts()), alone(second));
    EXPECT_NE(a_logits, b_logits);
}

TEST_F(SessionTest, AFullContextWorksAndNoMore) {
    const std::vector<int32_t> tokens = prompt();
    const std::vector<float> whole = all_logits(*session(), tokens);
    const auto full = session({.n_context = kPrompt});
    EXPECT_LE(distance(whole, all_logits(*full, tokens)), kSameNmse);
    const std::vector<float> last = copy(full->logits());

    const int32_t one = 1;
    expect_error(ErrorCode::kInvalidArgument, {"context", "40"}, [&] { full->feed(std::span(&one, 1)); });
    expect_error(ErrorCode::kInvalidArgument, {"context", "40"}, [&] { full->feed_greedy(one); });
    EXPECT_EQ(full->position(), kPrompt);
    EXPECT_EQ(copy(full->logits()), last);  // nothing was computed

    full->truncate(kPrompt - 1);
    const std::vector<int32_t> two{1, 2};
    expect_error(ErrorCode::kInvalidArgument, {"2 tokens", "39"}, [&] { full->feed(two); });
    full->feed(std::span(tokens).last(1));
    EXPECT_LE(distance(last, full->logits()), kSameNmse);
}

TEST_F(SessionTest, BadTokensAreRefusedWhole) {
    const auto fed = session();
    const auto n = static_cast<int32_t>(n_vocabulary());
    for (const int32_t bad : {-1, n, INT32_MAX, INT32_MIN}) {
        const std::vector<int32_t> tokens{1, 2, bad};
        expect_error(ErrorCode::kInvalidArgument, {std::to_string(bad), "index 2", "300"},
                     [&] { fed->feed(tokens); });
        expect_error(ErrorCode::kInvalidArgument, {std::to_string(bad), "300"},
                     [&] { fed->feed_greedy(bad); });
    }
    EXPECT_EQ(fed->position(), 0U);
    expect_error(ErrorCode::kInvalidArgument, {"feed a token"}, [&] { fed->logits(); });
    fed->feed({});
    EXPECT_EQ(fed->position(), 0U);
    fed->feed(std::vector<int32_t>{0, n - 1});
    EXPECT_EQ(fed->position(), 2U);
}

TEST_F(SessionTest, ParamsThatMakeNoSenseAreRefused) {
    expect_error(ErrorCode::kInvalidArgument, {"context"},
                 [] { Session(model_, {.n_context = (1U << 30) + 1}); });
    expect_error(ErrorCode::kUnsupported, {"Q4_0"}, [] { session_with_kv(TensorType::kQ4_0); });
    EXPECT_EQ(Session(model_, {}).n_context(), 128U);  // the model's own, which is less than the default
}

TEST_F(SessionTest, CountsWhatItWasFed) {
    const auto fed = session();
    const std::vector<int32_t> tokens = prompt();
    fed->feed(std::span(tokens).first(1));
    EXPECT_EQ(fed->stats().prompt_tokens, 1U) << "a prompt may have one token";
    EXPECT_GT(fed->stats().prompt_seconds, 0);
    EXPECT_EQ(fed->stats().decoded_tokens, 0U);
    EXPECT_EQ(fed->stats().decode_seconds, 0);
    fed->feed(std::span(tokens).subspan(1));
    const double prompt_seconds = fed->stats().prompt_seconds;
    fed->feed_written(2);
    fed->feed_greedy(3);
    const SessionStats stats = fed->stats();
    EXPECT_EQ(stats.prompt_tokens, kPrompt);
    EXPECT_EQ(stats.prompt_seconds, prompt_seconds);
    EXPECT_EQ(stats.decoded_tokens, 2U);
    EXPECT_GT(stats.decode_seconds, 0);
    const std::vector<uint64_t> counts = fed->expert_counts();
    ASSERT_EQ(counts.size(), 2U * 8U);
    for (size_t layer = 0; layer < 2; ++layer) {
        uint64_t sum = 0;
        for (size_t expert = 0; expert < 8; ++expert) sum += counts[layer * 8 + expert];
        EXPECT_EQ(sum, (kPrompt + 2) * 2) << "layer " << layer;
    }
}

TEST_F(SessionTest, RouterStatisticsAreThoseOfTheTokensFed) {
    const std::vector<int32_t> tokens = prompt();
    const std::vector<float> plain = all_logits(*session(), tokens);
    std::vector<LoadBalance> whole;
    for (const uint32_t size : {64U, 9U, 1U}) {
        const auto judged = session({.n_micro_batch = size, .router_statistics = true});
        EXPECT_EQ(judged->router_statistics().at(0).n_tokens, 0U);
        EXPECT_LE(distance(plain, all_logits(*judged, tokens)), kSameNmse);
        const std::vector<uint64_t> counts = judged->expert_counts();
        const std::vector<LoadBalance> layers = judged->router_statistics();
        ASSERT_EQ(layers.size(), 2U);
        for (size_t layer = 0; layer < 2; ++layer) {
            const LoadBalance& balance = layers[layer];
            EXPECT_EQ(balance.n_tokens, kPrompt);
            EXPECT_TRUE(std::equal(balance.counts.begin(), balance.counts.end(), counts.begin() + layer * 8));
            double sum = 0;
            double weighted = 0;
            for (size_t e = 0; e < 8; ++e) {
                sum += balance.mean_probability[e];
                weighted += balance.mean_probability[e] * static_cast<double>(balance.counts[e]);
            }
            EXPECT_NEAR(sum, 1, 1e-6);
            EXPECT_NEAR(balance.auxiliary_loss, 8 * weighted / (2.0 * kPrompt), 1e-9);
            if (whole.empty()) continue;
            for (size_t e = 0; e < 8; ++e)
                EXPECT_NEAR(balance.mean_probability[e], whole[layer].mean_probability[e], 1e-4);
        }
        if (whole.empty()) whole = layers;
    }
    expect_error(ErrorCode::kInvalidArgument, {"router_statistics"}, [&] { session()->router_statistics(); });
}

/// Whether a list names the same experts, in any order.
bool same_experts(std::span<const uint32_t> a, std::span<const uint32_t> b) {
    return std::multiset<uint32_t>(a.begin(), a.end()) == std::multiset<uint32_t>(b.begin(), b.end());
}

TEST_F(SessionTest, RoutesAreThoseOfTheReferenceAndOfTheCounts) {
    const std::vector<int32_t> tokens = prompt();
    ReferenceModel reference(path_);
    std::vector<ReferenceModel::Token> expected;
    for (const int32_t token : tokens) expected.push_back(reference.next(token));
    for (const uint32_t size : {1U, 7U, 64U}) {
        const auto fed = session({.n_micro_batch = size});
        expect_error(ErrorCode::kInvalidArgument, {"feed a token"}, [&] { fed->routes(); });
        std::vector<uint64_t> counts(2 * 8);
        for (size_t at = 0; at < kPrompt; at += size) {
            const size_t n = std::min<size_t>(size, kPrompt - at);
            fed->feed(std::span(tokens).subspan(at, n));
            const Routes routes = fed->routes();
            ASSERT_EQ(routes.n_tokens, n);
            ASSERT_EQ(routes.n_layers, 2U);
            ASSERT_EQ(routes.n_used, 2U);
            EXPECT_EQ(routes.n_predicted, 0U);
            ASSERT_EQ(routes.ids.size(), n * 4);
            for (size_t i = 0; i < n; ++i) {
                const auto ids = std::span(routes.ids).subspan(4 * i, 4);
                for (size_t j = 0; j < 4; ++j) ++counts[j / 2 * 8 + ids[j]];
                // Where two experts are nearly equal, float32 may see it the other way.
                if (expected[at + i].margin < 1e-4) continue;
                for (size_t layer = 0; layer < 2; ++layer)
                    EXPECT_TRUE(same_experts(ids.subspan(2 * layer, 2),
                                             std::span(expected[at + i].experts).subspan(2 * layer, 2)))
                        << "token " << at + i << ", layer " << layer << ", micro-batches of " << size;
            }
        }
        EXPECT_EQ(fed->expert_counts(), counts);
    }
}

TEST_F(SessionTest, ALookAheadThatCannotErrNamesWhatIsUsed) {
    // Both layers have the same router and the same norm, and the first layer adds nothing after its router
    // has looked: the second one's router sees the same rows, so it was known what it would say.
    TinyFile file = make_tiny_file({.architecture = "qwen3moe", .seed = 33});
    for (const char* name : {"ffn_gate_inp.weight", "ffn_norm.weight"})
        file.tensors.at(std::string("blk.1.") + name) = file.tensors.at(std::string("blk.0.") + name);
    for (const char* name : {"blk.0.ffn_down_exps.weight", "blk.1.attn_output.weight"})
        std::ranges::fill(file.tensors.at(name).bytes, std::byte{0});
    const std::string path = *folder_ / "constant.gguf";
    file.write(path);
    const std::vector<int32_t> tokens = prompt();
    const std::shared_ptr<Model> constant = Model::load(path);
    for (const uint32_t size : {1U, 64U}) {
        Session ahead(constant, {.n_context = 64, .n_micro_batch = size, .look_ahead = true});
        ahead.feed(std::span(tokens).first(std::min<size_t>(size, kPrompt)));
        const Routes routes = ahead.routes();
        ASSERT_EQ(routes.n_predicted, 4U);
        ASSERT_EQ(routes.predicted.size(), routes.n_tokens * 4U);
        ASSERT_EQ(routes.probabilities.size(), routes.predicted.size());
        for (size_t i = 0; i < routes.n_tokens; ++i) {
            const auto second = std::span(routes.ids).subspan(4 * i + 2, 2);
            EXPECT_TRUE(same_experts(std::span(routes.predicted).subspan(4 * i, 2), second)) << "token " << i;
            const auto chances = std::span(routes.probabilities).subspan(4 * i, 4);
            EXPECT_TRUE(std::ranges::is_sorted(chances, std::greater()));
            const float sum = chances[0] + chances[1] + chances[2] + chances[3];
            // Of 8 experts the likeliest 4: at least half, and not all.
            EXPECT_GE(sum, 0.5F);
            EXPECT_LT(sum, 1.0F);
        }
    }
}

TEST_F(SessionTest, ALookAheadChangesNothingElse) {
    const std::vector<int32_t> tokens = prompt();
    EXPECT_EQ(all_logits(*session({.look_ahead = true}), tokens), all_logits(*session(), tokens));
}

TEST_F(SessionTest, ProfilesByRegion) {
    if (!model_->kernels().plan().timestamps) GTEST_SKIP() << "the device writes no timestamps";
    const auto profiled = session({.profile = true});
    profiled->feed(prompt());
    profiled->feed_greedy(1);
    const std::string table = profiled->profile();
    for (const char* region : {"attention q", "router", "experts down", "logits"}) {
        EXPECT_NE(table.find(region), std::string::npos) << region << " is not in\n" << table;
    }
    EXPECT_EQ(session()->profile(), "");
}

/// Models of which token 7 spoils what comes of it, and that only.
class BrokenLogitsTest : public testing::Test {
  protected:
    static constexpr int32_t kBroken = 7;
    static constexpr size_t kVocabulary = 300;
    static constexpr uint32_t kWidth = 128;

    static std::span<float> floats(TinyFile& file, const std::string& name) {
        std::vector<std::byte>& bytes = file.tensors.at(name).bytes;
        return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
    }
    std::shared_ptr<Model> write(const TinyFile& file) const {
        const std::string path = folder_ / "broken.gguf";
        file.write(path);
        return Model::load(path);
    }
    /// The embedding of token 7 is NaN.
    std::shared_ptr<Model> nan_token() const {
        TinyFile file = make_tiny_file({.seed = 34});
        std::ranges::fill(floats(file, "token_embd.weight").subspan(kBroken * kWidth, kWidth), NAN);
        return write(file);
    }
    /// The output row of token 5 is so large that its logit overflows.
    std::shared_ptr<Model> infinite_logit() const {
        TinyFile file = make_tiny_file({.seed = 34});
        // One product alone: with more of them, infinities of both signs would add up to NaN.
        const std::span<float> row = floats(file, "output.weight").subspan(5 * kWidth, kWidth);
        std::ranges::fill(row, 0.0F);
        row[0] = 3e38F;
        floats(file, "output_norm.weight")[0] = 100;
        return write(file);
    }
    /// V of token 7 is beyond float16: its embedding is all in one dimension, which V's matrix magnifies.
    std::shared_ptr<Model> large_v() const {
        TinyFile file = make_tiny_file({.seed = 34});
        const std::span<float> row = floats(file, "token_embd.weight").subspan(kBroken * kWidth, kWidth);
        std::ranges::fill(row, 0.0F);
        row[3] = 1;
        const std::span<float> v = floats(file, "blk.0.attn_v.weight");
        for (size_t at = 3; at < v.size(); at += kWidth) v[at] = 15000;
        return write(file);
    }
    static Session session(const std::shared_ptr<Model>& model, SessionParams params = {}) {
        params.n_context = 64;
        return Session(model, params);
    }

    TempFolder folder_;
};

TEST_F(BrokenLogitsTest, AreAnErrorThatLeavesTheSessionAsItWas) {
    const std::shared_ptr<Model> model = nan_token();
    for (const uint32_t micro_batch : {512U, 2U}) {
        Session fed = session(model, {.n_micro_batch = micro_batch, .router_statistics = true});
        fed.feed(std::vector<int32_t>{1, 2, 3});
        const std::vector<float> before = copy(fed.logits());
        const std::vector<uint64_t> counts = fed.expert_counts();
        const std::vector<double> probabilities = fed.router_statistics().at(1).mean_probability;
        expect_error(ErrorCode::kInternal, {"token 0 is", "nan", "position 3"},
                     [&] { fed.feed(std::vector<int32_t>{kBroken}); });
        expect_error(ErrorCode::kInternal, {"token 0 is", "nan", "position 7"}, [&] {
            fed.feed(std::vector<int32_t>{1, 2, kBroken, 4, 5});
        });
        expect_error(ErrorCode::kInternal, {"token 0 is", "nan", "position 3"},
                     [&] { fed.feed_greedy(kBroken); });
        std::vector<float> all(5 * kVocabulary);
        expect_error(ErrorCode::kInternal, {"token 0 is", "nan", "position 5"}, [&] {
            fed.feed(std::vector<int32_t>{1, 2, kBroken, 4, 5}, all);
        });
        EXPECT_EQ(fed.position(), 3U);
        EXPECT_EQ(copy(fed.logits()), before);
        EXPECT_EQ(fed.expert_counts(), counts);
        EXPECT_EQ(fed.router_statistics().at(1).mean_probability, probabilities);

        const int32_t next = fed.feed_greedy(4);
        Session other = session(model, {.n_micro_batch = micro_batch});
        other.feed(std::vector<int32_t>{1, 2, 3});
        EXPECT_EQ(other.feed_greedy(4), next);
    }
}

TEST_F(BrokenLogitsTest, OneInfiniteLogitIsEnough) {
    Session fed = session(infinite_logit());
    expect_error(ErrorCode::kInternal, {"token 5 is", "inf", "position 0"}, [&] { fed.feed_greedy(1); });
    expect_error(ErrorCode::kInternal, {"token 5 is", "inf", "position 0"},
                 [&] { fed.feed(std::vector<int32_t>{1}); });
    EXPECT_EQ(fed.position(), 0U);
}

TEST_F(BrokenLogitsTest, AreHandedOutWhereAllowedButChooseNoToken) {
    Session fed = session(nan_token(), {.router_statistics = true, .allow_nonfinite = true});
    fed.feed(std::vector<int32_t>{1, kBroken, 2, 3});
    EXPECT_TRUE(std::ranges::all_of(fed.logits(), [](float logit) { return std::isnan(logit); }));
    expect_error(ErrorCode::kInternal, {"token 0 is", "position 4"}, [&] { fed.feed_greedy(4); });
    EXPECT_EQ(fed.position(), 4U);
    // The tokens that were numbers are still judged: two of the first layer's were.
    for (const LoadBalance& balance : fed.router_statistics()) {
        double sum = 0;
        for (const double probability : balance.mean_probability) sum += probability;
        EXPECT_NEAR(sum, 1, 1e-6);
    }
}

TEST_F(BrokenLogitsTest, ATokenDoesNotReachThoseBeforeIt) {
    for (const auto& model : {nan_token(), large_v()}) {
        for (const TensorType type : {TensorType::kF16, TensorType::kF32, TensorType::kQ8_0}) {
            std::vector<int32_t> tokens{1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13};
            const auto logits = [&] {
                Session fed = session(model, {.kv_type = type, .allow_nonfinite = true});
                std::vector<float> all(tokens.size() * kVocabulary);
                fed.feed(tokens, all);
                return all;
            };
            const std::vector<float> healthy = logits();
            for (const size_t at : {size_t{5}, size_t{9}, size_t{11}}) {
                tokens = {1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13};
                tokens[at] = kBroken;
                const std::vector<float> all = logits();
                EXPECT_TRUE(std::equal(all.begin(),
                                       all.begin() + static_cast<std::ptrdiff_t>(at * kVocabulary),
                                       healthy.begin()))
                    << "token " << at << ", cache of " << tensor_type_info(type).name;
            }
        }
    }
}

/// The model that comes with the source, really trained.
TEST(BundledModelTest, PredictsEnglishAsTheReferenceDoes) {
    constexpr size_t kTokens = 256;
    const std::string path = VKMOE_SOURCE_DIR "/samples/models/babel-moe-14m-f16.gguf";
    const std::string text = read_file(VKMOE_SOURCE_DIR "/samples/models/held-out/english.txt");
    // Well inside: the first page has much that other chapters, which it was trained on, have too.
    const size_t begin = text.find("Git is, nowadays");
    ASSERT_NE(begin, std::string::npos);
    Session session(Model::load(path), {.n_context = kTokens, .kv_type = TensorType::kF32});
    std::vector<int32_t> tokens =
        make_tokenizer(session.model().file())->encode(text.substr(begin, 8 * kTokens), false, false);
    ASSERT_GE(tokens.size(), kTokens);
    tokens.resize(kTokens);

    const size_t n_vocabulary = session.model().hyper().n_vocabulary;
    std::vector<float> logits(kTokens * n_vocabulary);
    session.feed(tokens, logits);

    ReferenceModel reference(path);
    std::vector<double> expected;
    double surprise = 0;
    for (size_t i = 0; i < kTokens; ++i) {
        const std::vector<double> row = reference.next(tokens[i]).logits;
        expected.insert(expected.end(), row.begin(), row.end());
        if (i + 1 == kTokens) break;
        double sum = 0;
        for (size_t j = 0; j < n_vocabulary; ++j) {
            sum += std::exp(static_cast<double>(logits[i * n_vocabulary + j]));
        }
        const size_t next = i * n_vocabulary + static_cast<size_t>(tokens[i + 1]);
        surprise += std::log(sum) - static_cast<double>(logits[next]);
    }
    EXPECT_LE(nmse(expected, logits), 1e-5);
    // Over the whole file llama.cpp finds 24.17; this page is easier.
    const double perplexity = std::exp(surprise / static_cast<double>(kTokens - 1));
    EXPECT_NEAR(perplexity, 13.878, 0.05);
}

}  // namespace
}  // namespace vkmoe
