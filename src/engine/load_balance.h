#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace vkmoe {

/// How evenly a layer's router spreads its tokens over the experts. All figures are 0 where no token was
/// routed: in dense layers, and before the first.
struct LoadBalance {
    uint64_t n_tokens = 0;
    std::vector<uint64_t> counts;          ///< tokens that each expert got, [n_experts]
    std::vector<double> mean_probability;  ///< P_e: of each expert over tokens whose probabilities were
                                           ///< numbers, [n_experts]
    double auxiliary_loss = 0;             ///< n_experts * sum of f_e P_e (Switch Transformer), f_e being the
                                           ///< share of all routes, so that 1 is even whatever k is
    double coefficient_of_variation = 0;   ///< standard deviation of the counts over their mean
    double max_over_mean = 0;              ///< the busiest expert's tokens over the mean
    double entropy = 0;                    ///< of f_e in bits; log2(n_experts) is even
};

/// The figures of a layer: counts of routes and sums over tokens of the router's probabilities, [n_experts]
/// each, for n_slots routes a token.
LoadBalance load_balance(std::span<const uint64_t> counts, std::span<const double> probability_sums,
                         uint32_t n_slots);

}  // namespace vkmoe
