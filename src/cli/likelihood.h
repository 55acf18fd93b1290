#pragma once

#include <cstdint>
#include <span>

namespace vkmoe::cli {

/// -log of the softmax probability of a token, in double; logits: [n_vocabulary].
double negative_log_likelihood(std::span<const float> logits, int32_t token);

/// Perplexity of the scores added so far: exp(mean), with the standard error of the mean carried over.
class PerplexityEstimate {
  public:
    void add(double negative_log_likelihood);

    uint64_t count() const { return count_; }
    double perplexity() const;
    /// Standard error; 0 for fewer than two scores.
    double error() const;

  private:
    uint64_t count_ = 0;
    double sum_ = 0;
    double sum_of_squares_ = 0;
};

}  // namespace vkmoe::cli
