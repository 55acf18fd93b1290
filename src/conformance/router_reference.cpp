#include "conformance/router_reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

namespace vkmoe::conformance {
namespace {

/// The error of exp(x) is promised to grow with |x|; that of the rest is far below.
double steepness(double x) {
    return std::isfinite(x) ? 2 + std::abs(x) / 8 : 2;
}
constexpr double kRelative = 2e-6;

}  // namespace

double plain_score(RouterScore score, double logit) {
    switch (score) {
        case RouterScore::kSigmoid:
            return 1 / (1 + std::exp(-logit));
        case RouterScore::kSqrtSoftplus:
            return std::sqrt(std::max(logit, 0.0) + std::log1p(std::exp(-std::abs(logit))));
        case RouterScore::kSoftmax:
        case RouterScore::kSoftmaxOfChosen:
        case RouterScore::kSparseMixer:
            return std::exp(logit);
    }
    return 0;
}

RouterReference::RouterReference(const RouterCase& routing, uint32_t token)
    : routing_(routing),
      args_(routing.args),
      token_(token),
      logits_(std::span(routing.logits).subspan(size_t{token} * args_.n_experts, args_.n_experts)) {
    largest_ = -std::numeric_limits<double>::infinity();
    for (float logit : logits_) {
        if (std::isnan(logit))
            has_nan_ = true;
        else
            largest_ = std::max(largest_, double{logit});
    }
    for (float logit : logits_) total_ += std::exp(logit - largest_);

    const bool groups = args_.n_groups_used < args_.n_groups;
    const bool by_score = !routing.bias.empty() || (groups && args_.group_score == GroupScore::kTopTwoSum);
    for (uint32_t e = 0; e < args_.n_experts; ++e) {
        if (!by_score) {
            values_.push_back({logits_[e], 0});
            continue;
        }
        const double own = score(e);
        const double bias = routing.bias.empty() ? 0 : routing.bias[e];
        const bool of_logit = args_.score == RouterScore::kSoftmaxOfChosen;
        const double x = args_.score == RouterScore::kSoftmax ? logits_[e] - largest_ : double{logits_[e]};
        const double error = of_logit ? 0 : kRelative * steepness(x) * std::abs(own) + kLeastNormal;
        values_.push_back({own + bias, error + 1e-7 * (std::abs(own) + std::abs(bias))});
    }
    if (!groups) return;
    for (uint32_t g = 0; g < args_.n_groups; ++g) groups_.push_back(group_value(g));
}

double RouterReference::score(uint32_t expert) const {
    const double logit = logits_[expert];
    if (args_.score == RouterScore::kSoftmax) return std::exp(logit - largest_) / total_;
    if (args_.score == RouterScore::kSoftmaxOfChosen) return logit;
    return plain_score(args_.score, logit);
}

bool RouterReference::goes_before(const std::vector<Value>& values, uint32_t a, uint32_t b) const {
    const bool a_is_nan = std::isnan(values[a].value);
    const bool b_is_nan = std::isnan(values[b].value);
    if (a_is_nan || b_is_nan) return a_is_nan == b_is_nan ? a < b : b_is_nan;
    if (values[a].value == values[b].value) return a < b;
    const double error = values[a].error + values[b].error;
    return values[a].value > values[b].value + (std::isfinite(error) ? error : 0);
}

RouterReference::Value RouterReference::group_value(uint32_t group) const {
    constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
    const uint32_t size = args_.n_experts / args_.n_groups;
    Value best{kNan, 0};
    Value second{kNan, 0};
    for (uint32_t e = group * size; e < (group + 1) * size; ++e) {
        const Value& value = values_[e];
        if (std::isnan(value.value)) continue;
        if (std::isnan(best.value) || value.value > best.value) {
            second = std::exchange(best, value);
        } else if (std::isnan(second.value) || value.value > second.value) {
            second = value;
        }
    }
    if (args_.group_score == GroupScore::kBest) return best;
    const double sum = best.value + second.value;
    return {sum, best.error + second.error + 1e-7 * std::abs(sum)};
}

void RouterReference::check_groups(std::span<const uint32_t> ids) const {
    const uint32_t size = args_.n_experts / args_.n_groups;
    for (uint32_t id : ids) {
        const uint32_t group = id / size;
        uint32_t before = 0;
        for (uint32_t g = 0; g < args_.n_groups; ++g)
            if (g != group && goes_before(groups_, g, group)) ++before;
        require(before < args_.n_groups_used, "token {}: expert {} is in group {}, but {} groups are better",
                token_, id, group, before);
    }
}

bool RouterReference::surely_used(uint32_t expert) const {
    if (groups_.empty()) return true;
    const uint32_t group = expert / (args_.n_experts / args_.n_groups);
    uint32_t maybe_before = 0;
    for (uint32_t g = 0; g < args_.n_groups; ++g)
        if (g != group && !goes_before(groups_, group, g)) ++maybe_before;
    return maybe_before < args_.n_groups_used;
}

void RouterReference::check_table(std::span<const uint32_t> ids) const {
    const uint32_t row = routing_.tokens[token_];
    for (size_t s = 0; s < ids.size(); ++s) {
        const uint32_t expected =
            row < args_.n_table_rows ? routing_.table[size_t{row} * args_.n_slots + s] : ~0u;
        require(ids[s] == expected, "token {} slot {}: expert {}, but the table has {}", token_, s, ids[s],
                expected);
    }
}

void RouterReference::check_choice(std::span<const uint32_t> ids) const {
    if (!routing_.table.empty()) return check_table(ids);
    std::vector<bool> chosen(args_.n_experts, false);
    for (uint32_t id : ids) {
        require(id < args_.n_experts, "token {}: expert {} of {}", token_, id, args_.n_experts);
        require(!chosen[id], "token {}: expert {} twice", token_, id);
        chosen[id] = true;
    }
    if (!groups_.empty()) check_groups(ids);
    for (size_t s = 0; s < ids.size(); ++s) {
        for (size_t later = s + 1; later < ids.size(); ++later)
            require(!goes_before(values_, ids[later], ids[s]), "token {}: expert {} ({}) before {} ({})",
                    token_, ids[s], values_[ids[s]].value, ids[later], values_[ids[later]].value);
        for (uint32_t e = 0; e < args_.n_experts; ++e)
            require(chosen[e] || !goes_before(values_, e, ids[s]) || !surely_used(e),
                    "token {}: expert {} ({}) was chosen and {} ({}) was not", token_, ids[s],
                    values_[ids[s]].value, e, values_[e].value);
    }
}

/// One over the softmax's sum where this slot was chosen. Experts at the edge of what is near may count or
/// not.
Expected RouterReference::sparse_mixer(std::span<const uint32_t> ids, size_t slot) const {
    const double best = logits_[ids[slot]];
    double least = 0;
    double most = 0;
    for (uint32_t e = 0; e < args_.n_experts; ++e) {
        if (std::find(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(slot), e) !=
            ids.begin() + static_cast<std::ptrdiff_t>(slot))
            continue;
        const double x = logits_[e];
        const double edge = 2 * double{args_.jitter} * std::max(std::abs(x), best);
        const double blur = 1e-6 * (std::abs(edge) + std::abs(best) + std::abs(x)) + 4 * kLeastNormal;
        // Written so that NaN counts.
        if (!(best - x > edge - blur) || best == x) least += std::exp(x - best);
        if (!(best - x > edge + blur)) most += std::exp(x - best);
    }
    std::tie(least, most) = std::minmax({least, most});
    const double value = (1 / least + 1 / most) / 2;
    return {value, value, std::abs(1 / least - 1 / most) / 2};
}

std::vector<Expected> RouterReference::weights(std::span<const uint32_t> ids) const {
    const bool of_chosen = args_.score == RouterScore::kSoftmaxOfChosen;
    double largest = -std::numeric_limits<double>::infinity();
    for (uint32_t id : ids)
        if (id < args_.n_experts) largest = std::max(largest, double{logits_[id]});
    double total = 0;
    for (uint32_t id : ids)
        if (id < args_.n_experts) total += std::exp(logits_[id] - largest);

    std::vector<Expected> result;
    double sum = 0;
    double steepest = 0;
    for (size_t s = 0; s < ids.size(); ++s) {
        if (ids[s] >= args_.n_experts) {
            result.push_back({});
            continue;
        }
        const double logit = logits_[ids[s]];
        Expected weight;
        double x = logit;
        if (args_.score == RouterScore::kSparseMixer) {
            weight = sparse_mixer(ids, s);
        } else if (of_chosen) {
            x = logit - largest;
            weight.value = std::exp(x) / total;
        } else {
            if (args_.score == RouterScore::kSoftmax) x = logit - largest_;
            weight.value = score(ids[s]);
        }
        weight.magnitude = steepness(x) * std::abs(weight.value);
        weight.floor += kLeastNormal;
        steepest = std::max(steepest, steepness(x));
        sum += weight.value;
        result.push_back(weight);
    }
    double factor = args_.scale;
    double blur = 0;  // of the divisor, relative, beside rounding
    if (args_.renormalize) {
        const double divisor = std::max(sum + args_.sum_offset, double{args_.floor});
        factor /= divisor;
        for (const Expected& weight : result) blur += weight.floor / std::abs(divisor);
    }
    for (size_t s = 0; s < ids.size(); ++s) {
        if (ids[s] >= args_.n_experts) continue;
        const double own = routing_.expert_scales.empty() ? 1 : routing_.expert_scales[ids[s]];
        Expected& weight = result[s];
        weight.value *= factor * own;
        weight.magnitude = (weight.magnitude * std::abs(factor * own)) + steepest * std::abs(weight.value);
        weight.floor = weight.floor * std::abs(factor * own) + blur * std::abs(weight.value) + kLeastNormal;
        if (has_nan_) weight.value = std::numeric_limits<double>::quiet_NaN();
    }
    return result;
}

}  // namespace vkmoe::conformance
