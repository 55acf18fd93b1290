#include "experts/simulate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

#include "experts/locality.h"
#include "unit/error_matching.h"

namespace vkmoe {
namespace {

constexpr CachePolicy kAll[] = {CachePolicy::kLru, CachePolicy::kLfu, CachePolicy::kBelady,
                                CachePolicy::kOurs};

/// A trace of one layer whose tokens use one expert each.
RoutingTrace one_by_one(uint32_t n_experts, const std::vector<uint16_t>& ids) {
    RoutingTrace trace;
    trace.shape = {1, n_experts, 1, 0, "one"};
    trace.n_tokens = ids.size();
    trace.ids = ids;
    trace.sequences = {0};
    return trace;
}

/// How an invented router chooses: popular experts, which change with the phase, and often those of the token
/// before.
struct Habits {
    TraceShape shape = {6, 32, 4, 8, "invented"};
    size_t n_tokens = 600;
    size_t phase = 200;        ///< tokens until other experts are popular
    double skew = 1;           ///< weight of the i-th most popular: 1 / (i + 1)^skew
    double persistence = 0.5;  ///< chance that an expert of the token before is used again
    double foresight = 0.8;    ///< chance that the look-ahead names an expert that will be used
};

RoutingTrace invented_trace(const Habits& habits, uint32_t seed) {
    const TraceShape& shape = habits.shape;
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> uniform(0, 1);
    RoutingTrace trace;
    trace.shape = shape;
    trace.n_tokens = habits.n_tokens;
    trace.sequences = {0};
    std::vector<double> weights;
    for (uint32_t i = 0; i < shape.n_experts; ++i) weights.push_back(1 / std::pow(i + 1, habits.skew));
    std::discrete_distribution<uint32_t> rank(weights.begin(), weights.end());
    std::vector<std::vector<uint16_t>> popular(shape.n_layers), before(shape.n_layers);
    for (size_t token = 0; token < habits.n_tokens; ++token) {
        for (uint32_t layer = 0; layer < shape.n_layers; ++layer) {
            if (token % habits.phase == 0) {
                popular[layer].resize(shape.n_experts);
                for (uint32_t i = 0; i < shape.n_experts; ++i) popular[layer][i] = static_cast<uint16_t>(i);
                std::shuffle(popular[layer].begin(), popular[layer].end(), random);
            }
            std::vector<uint16_t> used;
            for (const uint16_t id : before[layer])
                if (uniform(random) < habits.persistence) used.push_back(id);
            while (used.size() < shape.n_used) {
                const uint16_t id = popular[layer][rank(random)];
                if (std::find(used.begin(), used.end(), id) == used.end()) used.push_back(id);
            }
            before[layer] = used;
            trace.ids.insert(trace.ids.end(), used.begin(), used.end());
            if (layer == 0) continue;
            std::vector<std::pair<uint16_t, uint16_t>> named;  // probability, expert
            for (const uint16_t id : used)
                if (uniform(random) < habits.foresight)
                    named.push_back({static_cast<uint16_t>(8000 + random() % 9000), id});
            for (uint16_t id = 0; named.size() < shape.n_predicted; ++id)
                if (std::find(used.begin(), used.end(), id) == used.end())
                    named.push_back({static_cast<uint16_t>(random() % 9000), id});
            std::sort(named.begin(), named.end(), std::greater<>());
            for (const auto& [probability, id] : named) {
                trace.predicted.push_back(id);
                trace.probabilities.push_back(probability);
            }
        }
    }
    return trace;
}

double hit_rate(const RoutingTrace& trace, CachePolicy policy, uint32_t n_slots) {
    return simulate(trace, {.policy = policy, .n_slots = n_slots}).hit_rate();
}

TEST(Simulate, KnowsTheClassicsByHeart) {
    // Two slots. LRU: 0 1 2(0 leaves) 0(1) 1(2) 2(0): never a hit. Belady keeps what comes soonest.
    const RoutingTrace cycle = one_by_one(3, {0, 1, 2, 0, 1, 2});
    EXPECT_EQ(simulate(cycle, {CachePolicy::kLru, 2}).n_hits, 0U);
    EXPECT_EQ(simulate(cycle, {CachePolicy::kLru, 2}).n_evictions, 4U);
    EXPECT_EQ(simulate(cycle, {CachePolicy::kBelady, 2}).n_hits, 2U);
    // 0 is the most frequent: it stays with LFU, while LRU lets it go.
    const RoutingTrace favourite = one_by_one(4, {0, 0, 0, 1, 2, 3, 0});
    EXPECT_EQ(simulate(favourite, {CachePolicy::kLru, 2}).n_hits, 2U);
    EXPECT_EQ(simulate(favourite, {CachePolicy::kLfu, 2}).n_hits, 3U);
}

TEST(Simulate, AStepsOwnExpertsDoNotEvictEachOther) {
    RoutingTrace trace = one_by_one(4, {0, 1, 2, 0, 3, 0});
    trace.shape.n_used = 2;
    trace.n_tokens = 3;  // {0, 1}, {0, 2}, {0, 3}
    for (const CachePolicy policy : kAll)
        EXPECT_EQ(simulate(trace, {policy, 2}).n_hits, 2U) << name_of(policy);
}

TEST(Simulate, BeladyIsTheBestAndAllOfItIsHitWhereAllFits) {
    for (uint32_t seed = 0; seed < 4; ++seed) {
        const RoutingTrace trace = invented_trace({}, seed);
        for (const uint32_t n_slots : {4U, 20U, 60U, 120U}) {
            const double best = hit_rate(trace, CachePolicy::kBelady, n_slots);
            for (const CachePolicy policy : kAll) EXPECT_LE(hit_rate(trace, policy, n_slots), best);
        }
        for (const CachePolicy policy : kAll) {
            const SimulationResult all = simulate(trace, {policy, 6 * 32});
            EXPECT_LE(all.n_misses, 6U * 32);
            EXPECT_EQ(all.n_evictions, 0U);
        }
    }
}

std::vector<double> gains_over_lru(const Habits& habits) {
    const RoutingTrace trace = invented_trace(habits, 5);
    const uint32_t n_all = habits.shape.n_layers * habits.shape.n_experts;
    std::vector<double> gains;
    for (const uint32_t eighths : {1U, 2U, 3U, 4U, 5U, 6U, 7U}) {
        const uint32_t n_slots = n_all * eighths / 8;
        gains.push_back(hit_rate(trace, CachePolicy::kOurs, n_slots) -
                        hit_rate(trace, CachePolicy::kLru, n_slots));
    }
    return gains;
}

/// By half a percent LRU may be better at single sizes: just where one token's experts fit, and nothing else.
TEST(Simulate, OursIsBetterThanLruWhateverTheHabits) {
    const Habits all_habits[] = {{.skew = 0.3, .persistence = 0.7},
                                 {.phase = 10000, .skew = 1, .persistence = 0},
                                 {.phase = 100, .skew = 0.8, .persistence = 0.3},
                                 {.shape = {24, 64, 8, 8, "deep"}, .n_tokens = 300, .skew = 0.8}};
    for (const Habits& habits : all_habits) {
        const std::vector<double> gains = gains_over_lru(habits);
        SCOPED_TRACE(testing::Message() << "skew " << habits.skew << " persistence " << habits.persistence);
        EXPECT_GE(*std::min_element(gains.begin(), gains.end()), -0.005);
        EXPECT_GT(std::accumulate(gains.begin(), gains.end(), 0.0), 0);
    }
}

/// Where all that was popular ceases to be every 50 tokens, the past is no guide, and a memory of it costs a
/// little.
TEST(Simulate, OursFollowsSuddenChanges) {
    const std::vector<double> gains = gains_over_lru({.phase = 50, .skew = 1.2});
    EXPECT_GE(*std::min_element(gains.begin(), gains.end()), -0.01);
}

TEST(Simulate, FetchingAheadPays) {
    const RoutingTrace trace = invented_trace({}, 1);
    for (const uint32_t n_slots : {24U, 48U, 96U}) {
        const SimulationResult plain = simulate(trace, {CachePolicy::kOurs, n_slots});
        const SimulationResult ahead = simulate(trace, {CachePolicy::kOurs, n_slots, 4});
        EXPECT_EQ(plain.n_prefetched, 0U);
        EXPECT_GT(ahead.hit_rate(), plain.hit_rate() + 0.05);
        EXPECT_GE(ahead.prefetched_used_share(), 0.75);
    }
}

TEST(Simulate, SaysWhatItCannotReplay) {
    const RoutingTrace trace = one_by_one(4, {0, 1});
    expect_error(ErrorCode::kInvalidArgument, {"0 slots"}, [&] { simulate(trace, {CachePolicy::kLru, 0}); });
    expect_error(ErrorCode::kInvalidArgument, {"look-ahead"}, [&] {
        simulate(trace, {CachePolicy::kOurs, 2, 1});
    });
}

TEST(Locality, IsReadBetweenThePoints) {
    const LocalityCurve curve{{{0.2, 0.6}, {0.5, 0.9}}, "a test"};
    EXPECT_DOUBLE_EQ(curve.hit_rate_at(0), 0);
    EXPECT_DOUBLE_EQ(curve.hit_rate_at(0.1), 0.3);
    EXPECT_DOUBLE_EQ(curve.hit_rate_at(0.2), 0.6);
    EXPECT_DOUBLE_EQ(curve.hit_rate_at(0.35), 0.75);
    EXPECT_DOUBLE_EQ(curve.hit_rate_at(0.75), 0.95);
    EXPECT_DOUBLE_EQ(curve.hit_rate_at(1), 1);
    EXPECT_DOUBLE_EQ(curve.hit_rate_at(2), 1);
}

TEST(Locality, IsMeasuredByReplay) {
    const RoutingTrace trace = invented_trace({}, 2);
    const LocalityCurve curve = measured_locality(trace);
    EXPECT_DOUBLE_EQ(curve.hit_rate_at(0.5), hit_rate(trace, CachePolicy::kOurs, 96));
    EXPECT_NE(curve.source.find("600 tokens of invented"), std::string::npos);
    const LocalityCurve published = published_locality();
    EXPECT_DOUBLE_EQ(published.hit_rate_at(0.38), 0.89);
}

}  // namespace
}  // namespace vkmoe
