#include "engine/load_balance.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace vkmoe {

LoadBalance load_balance(std::span<const uint64_t> counts, std::span<const double> probability_sums,
                         uint32_t n_slots) {
    LoadBalance result;
    result.counts.assign(counts.begin(), counts.end());
    result.mean_probability.resize(counts.size());
    const uint64_t n_routes = std::accumulate(counts.begin(), counts.end(), uint64_t{0});
    result.n_tokens = n_slots == 0 ? 0 : n_routes / n_slots;
    if (result.n_tokens == 0) return result;

    // Each token adds 1 in all; those that are not numbers were left out.
    const double n_summed =
        std::round(std::accumulate(probability_sums.begin(), probability_sums.end(), 0.0));
    const auto n_experts = static_cast<double>(counts.size());
    const double mean = static_cast<double>(n_routes) / n_experts;
    double variance = 0;
    for (size_t e = 0; e < counts.size(); ++e) {
        const auto count = static_cast<double>(counts[e]);
        const double share = count / static_cast<double>(n_routes);
        if (n_summed > 0) result.mean_probability[e] = probability_sums[e] / n_summed;
        result.auxiliary_loss += n_experts * share * result.mean_probability[e];
        variance += (count - mean) * (count - mean) / n_experts;
        if (share > 0) result.entropy -= share * std::log2(share);
    }
    result.coefficient_of_variation = std::sqrt(variance) / mean;
    result.max_over_mean = static_cast<double>(*std::max_element(counts.begin(), counts.end())) / mean;
    return result;
}

}  // namespace vkmoe
