#include "experts/residency.h"

#include "experts/pager.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "pager/policy.h"

namespace vkmoe {
namespace {

constexpr uint32_t kLikelihoodOne = 1U << kSlowBits;

/// The rules as they are written, step by step and with no thought of speed.
class PlainResidency {
  public:
    explicit PlainResidency(ResidencyShape shape)
        : shape_(std::move(shape)),
          slots(shape_.n_slots, kNowhere),
          experts(size_t{shape_.n_layers} * shape_.n_experts, PageExpert{kNowhere, 0}) {}

    void resolve(uint32_t layer, const std::vector<uint32_t>& ids, const std::vector<uint32_t>& predicted,
                 const std::vector<float>& probabilities) {
        misses.clear();
        prefetches.clear();
        const uint32_t first = layer * shape_.n_experts;
        std::set<uint32_t> used;
        for (const uint32_t id : ids)
            if (id < shape_.n_experts) used.insert(first + id);
        const bool ahead = !predicted.empty() && layer + 1 < shape_.n_layers;
        live_.clear();
        uint32_t n_repeats = 0;
        for (const uint32_t i : used) n_repeats += was_used(experts[i].score);
        for (uint32_t i = first; i < first + shape_.n_experts; ++i)
            experts[i].score = updated_score(experts[i].score, used.count(i) > 0 ? 1 : 0);
        uint32_t n_used_ahead = 0;
        for (const uint32_t i : used) {
            if (experts[i].slot == kNowhere) continue;
            add_to(header.n_hits, 1);
            live_.insert(experts[i].slot);
            n_used_ahead += (slots[experts[i].slot] & kPrefetchedBit) != 0 ? 1 : 0;
            slots[experts[i].slot] = i;
        }
        add_to(header.n_prefetched_used, n_used_ahead);
        std::set<uint32_t> wanted;
        if (ahead) {
            for (const uint32_t id : predicted)
                if (id < shape_.n_experts) wanted.insert(first + shape_.n_experts + id);
        }
        for (const uint32_t i : used) {
            if (experts[i].slot != kNowhere) continue;
            add_to(header.n_misses, 1);
            const auto [key, slot] = victim(layer, layer, ahead, wanted);
            misses.push_back({i, assign(i, slot, 0, layer)});
        }
        if (ahead) {
            const size_t budget =
                header.link_records > misses.size() ? header.link_records - misses.size() : 0;
            for (size_t i = 0; i < predicted.size() && prefetches.size() < budget; ++i) {
                const uint32_t expert = first + shape_.n_experts + predicted[i];
                if (predicted[i] >= shape_.n_experts || experts[expert].slot != kNowhere) continue;
                const auto [key, slot] = victim(layer + 1, layer, ahead, wanted);
                const float p = probabilities[i];
                const double share =
                    std::isnan(p) ? 0 : std::clamp(static_cast<double>(p), 0.0, 1.0) * 65536.0;
                if (slot == kNowhere || key == 0 ||
                    key <= prefetch_key(static_cast<uint32_t>(share), header.prefetch_threshold,
                                        experts[expert].score, header.reuse))
                    continue;
                add_to(header.n_prefetched, 1);
                prefetches.push_back({expert, assign(expert, slot, kPrefetchedBit, layer + 1)});
            }
        }
        header.reuse = updated_reuse(header.reuse, static_cast<uint32_t>(used.size()), n_repeats);
        header.prefetch_threshold = updated_threshold(header.prefetch_threshold,
                                                      static_cast<uint32_t>(prefetches.size()), n_used_ahead);
    }

  private:
    std::pair<uint32_t, uint32_t> victim(uint32_t of, uint32_t now, bool ahead,
                                         const std::set<uint32_t>& wanted) const {
        std::pair<uint32_t, uint32_t> best = {0, kNowhere};
        for (uint32_t slot = shape_.layers[of].first_slot; slot < shape_.layers[of].end_slot; ++slot) {
            if (live_.count(slot) > 0) continue;
            uint32_t key = 0xFFFFFFFF;
            if (slots[slot] != kNowhere) {
                const uint32_t owner = slots[slot] & ~kPrefetchedBit;
                const uint32_t layer = owner / shape_.n_experts;
                uint32_t steps = steps_until(layer, now, shape_.n_layers);
                if (ahead && layer == now + 1) steps += shape_.n_layers;
                key = wanted.count(owner) > 0 ? 0 : eviction_key(experts[owner].score, steps, header.reuse);
            }
            if (best.second == kNowhere || key > best.first) best = {key, slot};
        }
        return best;
    }

    uint32_t assign(uint32_t expert, uint32_t slot, uint32_t bit, uint32_t layer) {
        if (slots[slot] != kNowhere) {
            experts[slots[slot] & ~kPrefetchedBit].slot = kNowhere;
            add_to(header.n_evictions, 1);
        }
        slots[slot] = expert | bit;
        experts[expert].slot = slot;
        live_.insert(slot);
        add_to(header.units, shape_.layers[layer].record_units);
        return slot;
    }

    ResidencyShape shape_;
    std::set<uint32_t> live_;

  public:
    PageHeader header{};
    std::vector<uint32_t> slots;
    std::vector<PageExpert> experts;
    std::vector<RecordCopy> misses;
    std::vector<RecordCopy> prefetches;
};

void expect_equal(const Residency& residency, const PlainResidency& plain) {
    ASSERT_TRUE(std::equal(plain.slots.begin(), plain.slots.end(), residency.slots().begin()));
    for (size_t i = 0; i < plain.experts.size(); ++i) {
        ASSERT_EQ(residency.experts()[i].slot, plain.experts[i].slot);
        ASSERT_EQ(residency.experts()[i].score, plain.experts[i].score);
    }
    const PageHeader& a = residency.header();
    const PageHeader& b = plain.header;
    ASSERT_EQ(value_of(a.n_hits), value_of(b.n_hits));
    ASSERT_EQ(value_of(a.n_misses), value_of(b.n_misses));
    ASSERT_EQ(value_of(a.n_evictions), value_of(b.n_evictions));
    ASSERT_EQ(value_of(a.n_prefetched), value_of(b.n_prefetched));
    ASSERT_EQ(value_of(a.n_prefetched_used), value_of(b.n_prefetched_used));
    ASSERT_EQ(a.prefetch_threshold, b.prefetch_threshold);
    ASSERT_EQ(a.reuse, b.reuse);
    ASSERT_EQ(value_of(a.units), value_of(b.units));
}

TEST(PageCount, GoesOnBeyond32Bits) {
    PageCount count = page_count(UINT32_MAX - 1);
    add_to(count, 1);
    EXPECT_EQ(value_of(count), UINT32_MAX);
    add_to(count, 2);
    EXPECT_EQ(value_of(count), uint64_t{UINT32_MAX} + 2);
    EXPECT_EQ(count.high, 1u);
    EXPECT_EQ(count.low, 1u);
    PagerCounters counters;
    counters.add({.n_hits = count, .units = count});
    counters.add({.n_hits = count, .units = count});
    EXPECT_EQ(counters.hits, 2 * value_of(count));
    EXPECT_EQ(counters.bytes_copied, 32 * value_of(count));
}

/// Experts that are drawn unevenly, so that there are hits.
uint32_t draw(std::mt19937& random, uint32_t n_experts) {
    return std::min(static_cast<uint32_t>(random() % n_experts), static_cast<uint32_t>(random() % n_experts));
}

void compare_with_plain(const ResidencyShape& shape, uint32_t n_used, uint32_t n_predicted, uint32_t seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed << ", " << shape.n_slots << " slots");
    std::mt19937 random(seed);
    Residency residency(shape);
    PlainResidency plain(shape);
    for (uint32_t token = 0; token < 60; ++token) {
        const auto link = static_cast<uint32_t>(random() % (2 * n_used + 1));
        residency.set_link_records(link);
        plain.header.link_records = link;
        for (uint32_t layer = 0; layer < shape.n_layers; ++layer) {
            std::vector<uint32_t> ids(n_used);
            for (uint32_t& id : ids)
                id = random() % 20 == 0 ? shape.n_experts + random() % 2 : draw(random, shape.n_experts);
            std::vector<uint32_t> predicted(random() % 3 == 0 ? 0 : n_predicted);
            for (uint32_t& id : predicted) id = random() % 20 == 0 ? kNowhere : draw(random, shape.n_experts);
            std::vector<float> probabilities(predicted.size());
            for (float& p : probabilities)
                p = random() % 20 == 0 ? std::numeric_limits<float>::quiet_NaN()
                                       : static_cast<float>(random() % 1200) / 1000.0F;
            const ResidencyStep& step = residency.resolve(layer, ids, predicted, probabilities);
            plain.resolve(layer, ids, predicted, probabilities);
            ASSERT_EQ(step.misses, plain.misses);
            ASSERT_EQ(step.prefetches, plain.prefetches);
            ASSERT_NO_FATAL_FAILURE(expect_equal(residency, plain));
            for (size_t i = 0; i < ids.size(); ++i) {
                const uint32_t expert = layer * shape.n_experts + ids[i];
                const bool missed =
                    std::any_of(step.misses.begin(), step.misses.end(),
                                [&](const RecordCopy& copy) { return copy.expert == expert; });
                const bool valid = ids[i] < shape.n_experts;
                ASSERT_EQ(step.hit_ids[i], valid && !missed ? ids[i] : kNowhere);
                ASSERT_EQ(step.miss_ids[i], valid && missed ? ids[i] : kNowhere);
            }
        }
    }
    ASSERT_GT(value_of(plain.header.n_hits), 0U);
}

TEST(Residency, DecidesAsTheRulesSay) {
    for (uint32_t seed = 0; seed < 6; ++seed) {
        for (const uint32_t n_slots : {4U, 7U, 20U, 47U, 64U}) {
            ASSERT_NO_FATAL_FAILURE(compare_with_plain(one_pool(4, 16, n_slots, 0x40000000), 2, 4, seed));
        }
        ASSERT_NO_FATAL_FAILURE(compare_with_plain(one_pool(1, 8, 5), 2, 4, seed));
        ASSERT_NO_FATAL_FAILURE(compare_with_plain(one_pool(6, 32, 30), 8, 8, seed));
    }
}

TEST(Residency, KeepsToEachLayersSlots) {
    ResidencyShape shape = one_pool(4, 16, 24);
    shape.layers = {{0, 10, 3, 0}, {10, 24, 5, 0}, {0, 10, 3, 0}, {4, 24, 4, 0}};
    for (uint32_t seed = 0; seed < 6; ++seed) ASSERT_NO_FATAL_FAILURE(compare_with_plain(shape, 3, 6, seed));
}

TEST(Residency, FetchesAheadWhatTheLinkHasTimeFor) {
    Residency residency(one_pool(2, 8, 8));
    residency.set_link_records(4);
    const std::vector<uint32_t> ids = {0, 1};
    const std::vector<uint32_t> predicted = {5, 6, 7};
    const std::vector<float> probabilities = {0.5F, 0.3F, 0.1F};
    const ResidencyStep& step = residency.resolve(0, ids, predicted, probabilities);
    EXPECT_EQ(step.misses.size(), 2U);
    ASSERT_EQ(step.prefetches.size(), 2U) << "two of four went to misses";
    EXPECT_EQ(step.prefetches[0].expert, 13U);
    EXPECT_EQ(residency.slots()[step.prefetches[1].slot], 14U | kPrefetchedBit);
    const std::vector<uint32_t> next = {5, 0};
    EXPECT_EQ(residency.resolve(1, next).misses, (std::vector<RecordCopy>{{8, 4}}));
    EXPECT_EQ(residency.slots()[2], 13U);
    EXPECT_EQ(value_of(residency.header().n_prefetched), 2U);
    EXPECT_EQ(value_of(residency.header().n_prefetched_used), 1U);
    residency.set_link_records(0);
    EXPECT_TRUE(residency.resolve(0, ids, predicted, probabilities).prefetches.empty());
}

TEST(Residency, BatchesStreamThroughTheRing) {
    Residency residency(one_pool(2, 8, 6, 10));
    residency.place(8 + 1, 0);
    residency.place(8 + 3, 5);
    const std::vector<uint32_t> ids = {3, 1, 0, 7, 6, 3, 9, 2, kNowhere};
    const std::vector<PageExpert> before(residency.experts().begin(), residency.experts().end());
    const ResidencyBatch& batch = residency.batch(1, ids, 6, 4, 2);
    EXPECT_EQ(batch.waves, (std::vector<uint32_t>{1, 0, 1, 0, kNowhere, kNowhere, 2, 2}));
    EXPECT_EQ(batch.copies, (std::vector<RecordCopy>{{8, 6}, {10, 7}, {14, 8}, {15, 9}}));
    EXPECT_EQ(value_of(residency.header().n_batch_hits), 2U);
    EXPECT_EQ(value_of(residency.header().n_streamed), 4U);
    EXPECT_EQ(value_of(residency.header().units), 40U);
    EXPECT_EQ(value_of(residency.header().n_evictions), 0U);
    for (size_t i = 0; i < before.size(); ++i) {
        EXPECT_EQ(residency.experts()[i].slot, before[i].slot);
        EXPECT_EQ(residency.experts()[i].score, before[i].score);
    }
}

TEST(Residency, ABorrowedRingIsEmptiedOnlyWhereSomethingMustCome) {
    Residency residency(one_pool(2, 8, 6));
    residency.place(1, 0);
    residency.place(3, 5);
    const std::vector<uint32_t> there = {1, 3};
    EXPECT_TRUE(residency.batch(0, there, 4, 2, 1).copies.empty());
    EXPECT_EQ(residency.slots()[5], 3U);
    const std::vector<uint32_t> more = {1, 3, 4};
    const ResidencyBatch& batch = residency.batch(0, more, 4, 2, 1);
    EXPECT_EQ(batch.copies, (std::vector<RecordCopy>{{3, 4}, {4, 5}}));
    EXPECT_EQ(batch.waves[3], 1U);
    EXPECT_EQ(batch.waves[4], 2U);
    EXPECT_EQ(residency.slots()[5], kNowhere);
    EXPECT_EQ(residency.experts()[3].slot, kNowhere);
    EXPECT_EQ(value_of(residency.header().n_evictions), 1U);
}

TEST(Policy, KeysNeverMeanEmptyOrWanted) {
    std::mt19937 random(3);
    for (int i = 0; i < 100000; ++i) {
        const auto score = static_cast<uint32_t>(random()) >> random() % 32;
        const auto steps = static_cast<uint32_t>(1 + random() % 1000);
        const auto reuse = static_cast<uint32_t>(random() % (kLikelihoodOne + 1));
        EXPECT_GT(eviction_key(score, steps, reuse), 0U);
        EXPECT_LT(eviction_key(score, steps, reuse), 0xFFFFFFFF);
        const uint32_t after = updated_score(score, static_cast<uint32_t>(random() % 2));
        EXPECT_LE(likelihood(after, reuse), kLikelihoodOne);
    }
}

TEST(Policy, ScoresFollowUse) {
    uint32_t always = 0;
    uint32_t once = updated_score(0, 1);
    for (int i = 0; i < 2000; ++i) always = updated_score(always, 1);
    EXPECT_GT(likelihood(always, 0), kLikelihoodOne * 98 / 100);
    EXPECT_EQ(likelihood(0, kLikelihoodOne), 0U);
    for (int i = 0; i < 1500; ++i) once = updated_score(once, 0);
    EXPECT_EQ(once, 0U) << "what is never used again is forgotten";
}

TEST(Policy, WhatWasJustUsedIsAsLikelyAsReuseIs) {
    uint32_t reuse = 0;
    for (int i = 0; i < 2000; ++i) reuse = updated_reuse(reuse, 8, 4);
    EXPECT_NEAR(reuse, kLikelihoodOne / 2, kLikelihoodOne / 100);
    EXPECT_EQ(updated_reuse(reuse, 0, 0), reuse);
    const uint32_t just_used = updated_score(0, 1);
    EXPECT_EQ(likelihood(just_used, reuse), reuse);
    EXPECT_LT(likelihood(updated_score(just_used, 0), reuse), reuse / 8);
    for (int i = 0; i < 4000; ++i) reuse = updated_reuse(reuse, 8, 8);
    EXPECT_LE(reuse, kLikelihoodOne);
}

TEST(Policy, ThresholdRisesWhileTooLittleIsUsed) {
    EXPECT_GT(updated_threshold(1000, 10, 5), 1000U);
    EXPECT_LT(updated_threshold(20000, 10, 10), 20000U);
    EXPECT_EQ(updated_threshold(0, 0, 3), 0U);
    EXPECT_EQ(updated_threshold(kScoreOne, 40, 0), kScoreOne);
    EXPECT_EQ(updated_threshold(kScoreOne, 0, 0), kScoreOne - 1);
}

/// It lies in the way of every token where the host decides.
TEST(Residency, IsFastForALargeModel) {
    constexpr uint32_t kLayers = 48;
    constexpr uint32_t kSteps = 40 * kLayers;
    std::mt19937 random(5);
    Residency residency(one_pool(kLayers, 128, 6000));
    residency.set_link_records(8);
    std::vector<std::vector<uint32_t>> ids(kSteps, std::vector<uint32_t>(8));
    std::vector<std::vector<uint32_t>> predicted(kSteps, std::vector<uint32_t>(16));
    for (uint32_t s = 0; s < kSteps; ++s) {
        for (uint32_t& id : ids[s]) id = random() % 128;
        for (uint32_t& id : predicted[s]) id = random() % 128;
    }
    const std::vector<float> probabilities(16, 0.9F);
    for (uint32_t i = 0; i < 6000; ++i) residency.place(i, i);
    const auto start = std::chrono::steady_clock::now();
    for (uint32_t s = 0; s < kSteps; ++s) residency.resolve(s % kLayers, ids[s], predicted[s], probabilities);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    RecordProperty("microseconds_a_step", static_cast<int>(seconds / kSteps * 1e6));
    EXPECT_GT(value_of(residency.header().n_evictions), 0U);
    EXPECT_LT(seconds / kSteps, 1e-3) << "even a slow or a busy machine does not take that long";
}

}  // namespace
}  // namespace vkmoe
