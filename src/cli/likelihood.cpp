#include "cli/likelihood.h"

#include <algorithm>
#include <cmath>

namespace vkmoe::cli {

double negative_log_likelihood(std::span<const float> logits, int32_t token) {
    const double highest = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const float logit : logits) sum += std::exp(double{logit} - highest);
    return std::log(sum) - (double{logits[token]} - highest);
}

void PerplexityEstimate::add(double negative_log_likelihood) {
    ++count_;
    sum_ += negative_log_likelihood;
    sum_of_squares_ += negative_log_likelihood * negative_log_likelihood;
}

double PerplexityEstimate::perplexity() const {
    return std::exp(sum_ / static_cast<double>(count_));
}

double PerplexityEstimate::error() const {
    if (count_ < 2) return 0;
    const auto n = static_cast<double>(count_);
    const double mean = sum_ / n;
    const double variance = std::max(0.0, sum_of_squares_ / n - mean * mean);
    return std::sqrt(variance / (n - 1)) * perplexity();
}

}  // namespace vkmoe::cli
