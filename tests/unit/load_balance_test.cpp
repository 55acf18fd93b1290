#include "engine/load_balance.h"

#include <gtest/gtest.h>

#include <cmath>

namespace vkmoe {
namespace {

TEST(LoadBalance, EvenLoadIsOneByAnyCountOfRoutes) {
    for (const uint32_t n_slots : {1U, 2U, 4U}) {
        const std::vector<uint64_t> counts(8, 25 * n_slots);
        const LoadBalance balance = load_balance(counts, std::vector<double>(8, 25), n_slots);
        EXPECT_EQ(balance.n_tokens, 200U);
        EXPECT_EQ(balance.counts, counts);
        EXPECT_DOUBLE_EQ(balance.mean_probability[3], 0.125);
        EXPECT_DOUBLE_EQ(balance.auxiliary_loss, 1);
        EXPECT_DOUBLE_EQ(balance.coefficient_of_variation, 0);
        EXPECT_DOUBLE_EQ(balance.max_over_mean, 1);
        EXPECT_DOUBLE_EQ(balance.entropy, 3);
    }
}

TEST(LoadBalance, TokensWithoutProbabilitiesDoNotLowerTheMean) {
    // 5 tokens were routed; two of them had logits that were not numbers.
    const LoadBalance balance = load_balance(std::vector<uint64_t>{3, 2}, std::vector<double>{1.2, 1.8}, 1);
    EXPECT_EQ(balance.n_tokens, 5U);
    EXPECT_NEAR(balance.mean_probability[0], 0.4, 1e-12);
    EXPECT_NEAR(balance.mean_probability[1], 0.6, 1e-12);
}

TEST(LoadBalance, OneExpertForAllIsTheWorst) {
    const LoadBalance balance =
        load_balance(std::vector<uint64_t>{0, 10, 0, 0}, std::vector<double>{0, 10, 0, 0}, 1);
    EXPECT_DOUBLE_EQ(balance.auxiliary_loss, 4);
    EXPECT_DOUBLE_EQ(balance.coefficient_of_variation, std::sqrt(3.0));
    EXPECT_DOUBLE_EQ(balance.max_over_mean, 4);
    EXPECT_DOUBLE_EQ(balance.entropy, 0);
}

TEST(LoadBalance, KnowsEachFigure) {
    // 10 tokens by 2 routes: shares 0.5, 0.3, 0.2; probabilities 0.6, 0.3, 0.1.
    const LoadBalance balance =
        load_balance(std::vector<uint64_t>{10, 6, 4}, std::vector<double>{6, 3, 1}, 2);
    EXPECT_EQ(balance.n_tokens, 10U);
    EXPECT_NEAR(balance.auxiliary_loss, 3 * (0.5 * 0.6 + 0.3 * 0.3 + 0.2 * 0.1), 1e-12);
    const double mean = 20.0 / 3;
    const double variance = (std::pow(10 - mean, 2) + std::pow(6 - mean, 2) + std::pow(4 - mean, 2)) / 3;
    EXPECT_NEAR(balance.coefficient_of_variation, std::sqrt(variance) / mean, 1e-12);
    EXPECT_NEAR(balance.max_over_mean, 1.5, 1e-12);
    EXPECT_NEAR(balance.entropy, 0.5 + 0.3 * std::log2(1 / 0.3) + 0.2 * std::log2(5), 1e-12);
}

TEST(LoadBalance, NothingRoutedIsAllZero) {
    const LoadBalance balance = load_balance(std::vector<uint64_t>(4), std::vector<double>(4), 2);
    EXPECT_EQ(balance.n_tokens, 0U);
    EXPECT_EQ(balance.mean_probability, std::vector<double>(4));
    EXPECT_EQ(balance.auxiliary_loss, 0);
    EXPECT_EQ(balance.max_over_mean, 0);
}

}  // namespace
}  // namespace vkmoe
