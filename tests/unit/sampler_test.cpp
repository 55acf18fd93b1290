#include "engine/sampler.h"

#include "base/error.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <vector>

namespace vkmoe {
namespace {

/// Everything off but the temperature.
SamplingParams plain(float temperature) {
    SamplingParams params;
    params.temperature = temperature;
    params.top_k = 0;
    params.top_p = 1;
    params.min_p = 0;
    params.repetition_penalty = 1;
    return params;
}

std::set<int32_t> tokens_seen(const SamplingParams& params, const std::vector<float>& logits,
                              int n_draws = 4000) {
    Sampler sampler(params);
    std::set<int32_t> seen;
    for (int i = 0; i < n_draws; ++i) seen.insert(sampler.sample(logits, {}));
    return seen;
}

std::vector<float> random_logits(size_t n, float scale, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> logits(n);
    for (float& logit : logits) logit = normal(random);
    return logits;
}

ErrorCode code_of(const SamplingParams& params, const std::vector<float>& logits) {
    try {
        Sampler(params).sample(logits, {});
    } catch (const Error& error) {
        return error.code();
    }
    ADD_FAILURE() << "no Error was thrown";
    return ErrorCode::kIo;
}

TEST(Sampler, GreedyTakesTheHighestAndOfEqualsTheLowerIndex) {
    Sampler sampler(plain(0));
    EXPECT_TRUE(sampler.is_argmax());
    EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 2}, {}), 1);
    EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 3, 3}, {}), 1);
    EXPECT_EQ(sampler.sample(std::vector<float>{-1}, {}), 0);
    EXPECT_EQ(sampler.sample(std::vector<float>{-std::numeric_limits<float>::infinity(), -1e30F}, {}), 1);
}

TEST(Sampler, FrequenciesAreTheSoftmaxOfLogitsOverTemperature) {
    const std::vector<float> logits = {0, 1, 2, -1, 0.5F};
    for (const float temperature : {0.5F, 1.0F, 2.0F}) {
        std::vector<double> expected;
        for (const float logit : logits) expected.push_back(std::exp(logit / temperature));
        const double total = std::accumulate(expected.begin(), expected.end(), 0.0);
        constexpr int kDraws = 200000;
        std::vector<int> count(logits.size());
        SamplingParams params = plain(temperature);
        params.seed = std::random_device{}();
        Sampler sampler(params);
        for (int i = 0; i < kDraws; ++i) ++count[sampler.sample(logits, {})];
        for (size_t i = 0; i < logits.size(); ++i) {
            const double p = expected[i] / total;
            // Six standard deviations of a binomial distribution.
            EXPECT_NEAR(count[i] / double{kDraws}, p, 6 * std::sqrt(p * (1 - p) / kDraws))
                << "token " << i << ", temperature " << temperature << ", seed " << params.seed;
        }
    }
}

TEST(Sampler, TopKKeepsTheKBestAndBreaksTiesByIndex) {
    SamplingParams params = plain(1);
    params.top_k = 2;
    EXPECT_EQ(tokens_seen(params, {0, 1, 0.9F, 0.8F}), (std::set<int32_t>{1, 2}));
    EXPECT_EQ(tokens_seen(params, {1, 1, 1, 1}), (std::set<int32_t>{0, 1}));
    params.top_k = 1;
    EXPECT_EQ(tokens_seen(params, {0, 1, 1, 0}), (std::set<int32_t>{1}));
    params.top_k = 9;
    EXPECT_EQ(tokens_seen(params, {1, 1, 1, 1}).size(), 4U);
}

TEST(Sampler, TopPKeepsTheSmallestNucleus) {
    // Probabilities 0.5, 0.3, 0.15, 0.05.
    const std::vector<float> logits = {std::log(0.3F), std::log(0.5F), std::log(0.05F), std::log(0.15F)};
    SamplingParams params = plain(1);
    params.top_p = 0.4F;
    EXPECT_EQ(tokens_seen(params, logits), (std::set<int32_t>{1}));
    params.top_p = 0.6F;
    EXPECT_EQ(tokens_seen(params, logits), (std::set<int32_t>{0, 1}));
    params.top_p = 0.9F;
    EXPECT_EQ(tokens_seen(params, logits), (std::set<int32_t>{0, 1, 3}));
    params.top_p = 0.99F;
    EXPECT_EQ(tokens_seen(params, logits).size(), 4U);
}

TEST(Sampler, TopPCountsTheShareOfWhatTopKLeft) {
    // Of 0.5 and 0.3 alone the first has 0.625: over 0.6, where of all it has less.
    const std::vector<float> logits = {std::log(0.3F), std::log(0.5F), std::log(0.05F), std::log(0.15F)};
    SamplingParams params = plain(1);
    params.top_k = 2;
    params.top_p = 0.6F;
    EXPECT_EQ(tokens_seen(params, logits), (std::set<int32_t>{1}));
}

TEST(Sampler, MinPIsRelativeToTheBestAndComesBeforeTheTemperature) {
    const std::vector<float> logits = {std::log(0.3F), std::log(0.5F), std::log(0.05F), std::log(0.15F)};
    SamplingParams params = plain(5);
    params.min_p = 0.5F;  // 0.25 and more
    EXPECT_EQ(tokens_seen(params, logits), (std::set<int32_t>{0, 1}));
    params.min_p = 0.2F;  // 0.1 and more; at temperature 5 the last would pass too
    EXPECT_EQ(tokens_seen(params, logits), (std::set<int32_t>{0, 1, 3}));
    params.min_p = 1;
    EXPECT_EQ(tokens_seen(params, logits), (std::set<int32_t>{1}));
}

TEST(Sampler, LargeNucleusAgreesWithAFullSort) {
    const uint64_t seed = std::random_device{}();
    const std::vector<float> logits = random_logits(8000, 1, seed);
    std::vector<int32_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
    double total = 0;
    for (const float logit : logits) total += std::exp(double{logit});
    double sum = 0;
    std::set<int32_t> nucleus;
    for (const int32_t token : order) {
        nucleus.insert(token);
        sum += std::exp(double{logits[token]});
        if (sum >= double{0.5F} * total) break;
    }
    ASSERT_GT(nucleus.size(), 800U) << "the nucleus must not fit the first selection, seed " << seed;
    SamplingParams params = plain(1);
    params.top_p = 0.5F;
    const std::set<int32_t> seen = tokens_seen(params, logits, 1000);
    EXPECT_TRUE(std::includes(nucleus.begin(), nucleus.end(), seen.begin(), seen.end())) << "seed " << seed;
    EXPECT_GT(seen.size(), 300U) << "seed " << seed;
}

TEST(Sampler, PenaltiesDoNotOverflow) {
    SamplingParams params;
    params.repetition_penalty = 1e-38F;
    const std::vector<float> logits{5, -5, -std::numeric_limits<float>::infinity()};
    Sampler sampler(params);
    EXPECT_EQ(sampler.sample(logits, std::vector<int32_t>{0, 2}), 0);
    params.repetition_penalty = 1e38F;
    EXPECT_EQ(Sampler(params).sample(std::vector<float>{-5, -50}, std::vector<int32_t>{0, 1}), 0);
}

TEST(Sampler, PenaltyWorksOnTheWindowOnceAToken) {
    SamplingParams params = plain(0);
    params.repetition_penalty = 2;
    params.repetition_window = 3;
    Sampler sampler(params);
    EXPECT_FALSE(sampler.is_argmax());
    const std::vector<float> logits = {4, 3, -1, 1.5F};
    EXPECT_EQ(sampler.sample(logits, std::vector<int32_t>{}), 0);
    EXPECT_EQ(sampler.sample(logits, std::vector<int32_t>{0}), 1);
    // Twice in the window counts once: 4 / 2 is still over 1.5.
    EXPECT_EQ(sampler.sample(logits, std::vector<int32_t>{0, 0, 1}), 0);
    // Out of the window.
    EXPECT_EQ(sampler.sample(logits, std::vector<int32_t>{0, 3, 3, 3}), 0);
    // A negative logit becomes more negative.
    EXPECT_EQ(sampler.sample(std::vector<float>{-1, -1.5F}, std::vector<int32_t>{0}), 1);
    // Ids that are no tokens change nothing.
    EXPECT_EQ(sampler.sample(logits, std::vector<int32_t>{-1, 4, 1000000}), 0);

    params.repetition_window = 0;
    EXPECT_TRUE(Sampler(params).is_argmax());
    EXPECT_EQ(Sampler(params).sample(logits, std::vector<int32_t>{0}), 0);
}

TEST(Sampler, TheSameSeedGivesTheSameTokens) {
    const std::vector<float> logits = random_logits(1000, 2, 7);
    const auto draw = [&](uint64_t seed) {
        SamplingParams params;
        params.seed = seed;
        params.temperature = 1.5F;
        Sampler sampler(params);
        std::vector<int32_t> tokens;
        for (int i = 0; i < 100; ++i) tokens.push_back(sampler.sample(logits, {}));
        return tokens;
    };
    EXPECT_EQ(draw(1), draw(1));
    EXPECT_NE(draw(1), draw(2));
}

TEST(Sampler, DrawsFollowTheStandardGenerator) {
    // The standard gives the 10000th number of a default mt19937_64 as 9981545732273789042: over 2^64 that is
    // 0.5411, so of ten equal tokens it is number 5.
    SamplingParams params = plain(1);
    params.seed = std::mt19937_64::default_seed;
    Sampler sampler(params);
    const std::vector<float> logits(10, 1.0F);
    int32_t token = -1;
    for (int i = 0; i < 10000; ++i) token = sampler.sample(logits, {});
    EXPECT_EQ(token, 5);
}

TEST(Sampler, TinyTemperaturesAreGreedyInEffect) {
    EXPECT_EQ(tokens_seen(plain(1e-30F), {1, 2, 1.999F}), (std::set<int32_t>{1}));
    EXPECT_EQ(tokens_seen(plain(std::numeric_limits<float>::denorm_min()), {1, 2, 1.999F}),
              (std::set<int32_t>{1}));
}

TEST(Sampler, MaskedTokensAreNeverDrawn) {
    const float masked = -std::numeric_limits<float>::infinity();
    EXPECT_EQ(tokens_seen(plain(10), {masked, 1, masked, 1}), (std::set<int32_t>{1, 3}));
}

TEST(Sampler, BrokenLogitsAreAnError) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float infinity = std::numeric_limits<float>::infinity();
    for (const float temperature : {0.0F, 1.0F}) {
        EXPECT_EQ(code_of(plain(temperature), {0, nan, 1}), ErrorCode::kInternal);
        EXPECT_EQ(code_of(plain(temperature), {0, infinity, 1}), ErrorCode::kInternal);
        EXPECT_EQ(code_of(plain(temperature), {-infinity, -infinity}), ErrorCode::kInternal);
    }
}

TEST(Sampler, NumbersOutOfRangeAreRefused) {
    const auto refused = [](auto change) {
        SamplingParams params;
        change(params);
        return code_of(params, {0, 1}) == ErrorCode::kInvalidArgument;
    };
    const float nan = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(refused([](SamplingParams& p) { p.temperature = -0.1F; }));
    EXPECT_TRUE(refused([&](SamplingParams& p) { p.temperature = nan; }));
    EXPECT_TRUE(refused([](SamplingParams& p) { p.top_p = 0; }));
    EXPECT_TRUE(refused([](SamplingParams& p) { p.top_p = 1.1F; }));
    EXPECT_TRUE(refused([](SamplingParams& p) { p.min_p = -1; }));
    EXPECT_TRUE(refused([](SamplingParams& p) { p.min_p = 2; }));
    EXPECT_TRUE(refused([](SamplingParams& p) { p.repetition_penalty = 0; }));
    EXPECT_TRUE(refused([&](SamplingParams& p) { p.repetition_penalty = nan; }));
}

}  // namespace
}  // namespace vkmoe
