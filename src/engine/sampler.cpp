#include "engine/sampler.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace vkmoe {
namespace {

// How many of the most likely tokens top-p sorts at first; most nuclei are smaller.
constexpr size_t kFirstNucleus = 256;

// Written so that NaN is out of range too.
void check_range(const char* name, float value, bool in_range, const char* range) {
    if (in_range) return;
    fail(ErrorCode::kInvalidArgument, "{} is {}, but must be {}", name, value, range);
}

}  // namespace

Sampler::Sampler(const SamplingParams& params) : params_(params), random_(params.seed) {
    check_range("temperature", params.temperature,
                params.temperature >= 0 && std::isfinite(params.temperature), "0 (greedy) or more");
    check_range("top_p", params.top_p, params.top_p > 0 && params.top_p <= 1, "above 0 and at most 1");
    check_range("min_p", params.min_p, params.min_p >= 0 && params.min_p <= 1, "from 0 to 1");
    check_range("repetition_penalty", params.repetition_penalty,
                params.repetition_penalty > 0 && std::isfinite(params.repetition_penalty), "above 0");
}

bool Sampler::is_argmax() const {
    return params_.temperature == 0 && (params_.repetition_penalty == 1 || params_.repetition_window == 0);
}

bool Sampler::comes_before(const Candidate& left, const Candidate& right) {
    return left.logit != right.logit ? left.logit > right.logit : left.token < right.token;
}

int32_t Sampler::sample(std::span<const float> logits, std::span<const int32_t> history) {
    assert(!logits.empty());
    take_logits(logits);
    penalize(history);
    // comes_before orders the best candidate first, so the least by it is the best.
    const Candidate best = *std::min_element(candidates_.begin(), candidates_.end(), comes_before);
    if (best.logit == -std::numeric_limits<float>::infinity())
        fail(ErrorCode::kInternal, "all {} logits are -infinity: the model's output is broken",
             logits.size());
    if (params_.temperature == 0) return best.token;
    keep_top_k();
    keep_top_p();
    keep_min_p(best.logit);
    return draw(best.logit);
}

void Sampler::take_logits(std::span<const float> logits) {
    candidates_.resize(logits.size());
    for (size_t i = 0; i < logits.size(); ++i) {
        if (!(logits[i] < std::numeric_limits<float>::infinity()))
            fail(ErrorCode::kInternal, "the logit of token {} is {}: the model's output is broken", i,
                 logits[i]);
        candidates_[i] = {logits[i], static_cast<int32_t>(i)};
    }
}

void Sampler::penalize(std::span<const int32_t> history) {
    if (params_.repetition_penalty == 1) return;
    const std::span<const int32_t> recent =
        history.last(std::min<size_t>(history.size(), params_.repetition_window));
    window_.assign(recent.begin(), recent.end());
    std::sort(window_.begin(), window_.end());
    window_.erase(std::unique(window_.begin(), window_.end()), window_.end());
    for (const int32_t token : window_) {
        if (token < 0 || static_cast<size_t>(token) >= candidates_.size()) continue;
        float& logit = candidates_[token].logit;
        if (!std::isfinite(logit)) continue;  // masked
        const float penalized =
            logit > 0 ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
        constexpr float kLargest = std::numeric_limits<float>::max();
        logit = std::clamp(penalized, -kLargest, kLargest);
    }
}

void Sampler::keep_top_k() {
    if (params_.top_k == 0 || params_.top_k >= candidates_.size()) return;
    const auto end = candidates_.begin() + params_.top_k;
    std::nth_element(candidates_.begin(), end, candidates_.end(), comes_before);
    candidates_.resize(params_.top_k);
}

void Sampler::keep_top_p() {
    if (params_.top_p >= 1) return;
    float highest = candidates_[0].logit;
    for (const Candidate& candidate : candidates_) highest = std::max(highest, candidate.logit);
    double total = 0;
    for (const Candidate& candidate : candidates_) total += std::exp(double{candidate.logit} - highest);

    // Sorts ever longer heads of the list until one holds the wanted share.
    const double wanted = double{params_.top_p} * total;
    double sum = 0;
    size_t n_sorted = 0;
    for (size_t n = kFirstNucleus; n_sorted < candidates_.size(); n *= 4) {
        const size_t end = std::min(n, candidates_.size());
        const auto from = candidates_.begin() + static_cast<std::ptrdiff_t>(n_sorted);
        const auto to = candidates_.begin() + static_cast<std::ptrdiff_t>(end);
        std::partial_sort(from, to, candidates_.end(), comes_before);
        for (; n_sorted < end; ++n_sorted) {
            sum += std::exp(double{candidates_[n_sorted].logit} - highest);
            if (sum >= wanted) {
                candidates_.resize(n_sorted + 1);
                return;
            }
        }
    }
}

void Sampler::keep_min_p(float highest) {
    if (params_.min_p <= 0) return;
    const double lowest = highest + std::log(double{params_.min_p});
    std::erase_if(candidates_, [lowest](const Candidate& candidate) { return candidate.logit < lowest; });
}

int32_t Sampler::draw(float highest) {
    // What selection left unordered is put in the order of the ids, so that a draw depends on the logits
    // alone.
    std::sort(candidates_.begin(), candidates_.end(),
              [](const Candidate& left, const Candidate& right) { return left.token < right.token; });
    cumulative_.clear();
    double sum = 0;
    for (const Candidate& candidate : candidates_) {
        sum += std::exp((double{candidate.logit} - highest) / params_.temperature);
        cumulative_.push_back(sum);
    }
    const double point = uniform() * sum;
    const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end(), point);
    // uniform() < 1, but its product with sum may round up to sum.
    const auto index = std::min<std::ptrdiff_t>(found - cumulative_.begin(),
                                                static_cast<std::ptrdiff_t>(candidates_.size()) - 1);
    return candidates_[static_cast<size_t>(index)].token;
}

double Sampler::uniform() {
    // The standard fixes the numbers of mt19937_64 but not those of its distributions.
    return static_cast<double>(random_() >> 11) * 0x1p-53;
}

}  // namespace vkmoe
