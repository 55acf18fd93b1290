#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace vkmoe {

struct SamplingParams {
    float temperature = 0.8F;         ///< 0: greedy
    uint32_t top_k = 40;              ///< keep the k most likely tokens; 0: all
    float top_p = 0.95F;              ///< keep the fewest tokens that have this probability together; 1: all
    float min_p = 0.05F;              ///< drop tokens less likely than this share of the most likely; 0: none
    float repetition_penalty = 1.0F;  ///< 1: none
    uint32_t repetition_window = 64;  ///< tokens that the penalty looks back
    uint64_t seed = 0;
};

/// Chooses tokens. The steps, in this order (that of llama.cpp's default chain): repetition penalty (a token
/// of the window, however often it is there, has its logit divided by the penalty, or multiplied where it is
/// not positive), top-k, top-p of what is left, min-p, and the temperature last, over the tokens that remain.
/// Greedy is the penalty and then the highest logit. Of equal logits the token with the lower index comes
/// first. The same seed and logits give the same tokens with every standard library.
class Sampler {
  public:
    /// Throws Error(kInvalidArgument) for a number out of its range.
    explicit Sampler(const SamplingParams& params);

    /// logits: [n_vocabulary], at least one. history: the tokens so far, the newest last; ids outside the
    /// vocabulary do not count. Throws Error(kInternal) for a logit that is NaN or +infinity, or if all are
    /// -infinity.
    int32_t sample(std::span<const float> logits, std::span<const int32_t> history);

    /// Whether sample() is the plain highest logit, so that the device may choose it.
    bool is_argmax() const;

  private:
    struct Candidate {
        float logit;
        int32_t token;
    };

    static bool comes_before(const Candidate& left, const Candidate& right);
    void take_logits(std::span<const float> logits);
    void penalize(std::span<const int32_t> history);
    void keep_top_k();
    void keep_top_p();
    void keep_min_p(float highest);
    int32_t draw(float highest);
    double uniform();

    SamplingParams params_;
    std::mt19937_64 random_;
    std::vector<Candidate> candidates_;
    std::vector<double> cumulative_;
    std::vector<int32_t> window_;
};

}  // namespace vkmoe
