#include "experts/simulate.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "experts/residency.h"

namespace vkmoe {
namespace {

constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

/// What a step of one layer wants: numbers of experts, layer * n_experts + e, each once, ascending.
std::vector<uint32_t> wanted_experts(const RoutingTrace& trace, size_t token, uint32_t layer) {
    std::vector<uint32_t> wanted;
    for (const uint16_t id : trace.used(token, layer)) wanted.push_back(layer * trace.shape.n_experts + id);
    std::sort(wanted.begin(), wanted.end());
    wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
    return wanted;
}

/// Who stays is a matter of rank: of those that a step does not want, the lowest leaves.
using Rank = std::pair<uint64_t, uint64_t>;

class RankedCache {
  public:
    RankedCache(size_t n_experts, size_t n_slots) : n_slots_(n_slots), ranks_(n_experts), here_(n_experts) {}

    /// ranks: of the wanted ones, from now on.
    void step(const std::vector<uint32_t>& wanted, const std::vector<Rank>& ranks) {
        for (const uint32_t expert : wanted) {
            if (here_[expert]) {
                ++result_.n_hits;
                order_.erase({ranks_[expert], expert});
            } else {
                ++result_.n_misses;
            }
        }
        while (order_.size() + wanted.size() > n_slots_) {
            here_[order_.begin()->second] = false;
            order_.erase(order_.begin());
            ++result_.n_evictions;
        }
        for (size_t i = 0; i < wanted.size(); ++i) {
            here_[wanted[i]] = true;
            ranks_[wanted[i]] = ranks[i];
            order_.insert({ranks[i], wanted[i]});
        }
    }

    const SimulationResult& result() const { return result_; }

  private:
    size_t n_slots_;
    std::vector<Rank> ranks_;
    std::vector<bool> here_;
    std::set<std::pair<Rank, uint32_t>> order_;
    SimulationResult result_;
};

/// [n_tokens * n_layers]: what each step wants.
std::vector<std::vector<uint32_t>> steps_of(const RoutingTrace& trace) {
    std::vector<std::vector<uint32_t>> steps;
    steps.reserve(trace.n_tokens * trace.shape.n_layers);
    for (size_t token = 0; token < trace.n_tokens; ++token) {
        for (uint32_t layer = 0; layer < trace.shape.n_layers; ++layer)
            steps.push_back(wanted_experts(trace, token, layer));
    }
    return steps;
}

/// The step of each expert's next use, in the order of steps.
std::vector<std::vector<uint64_t>> next_uses(const std::vector<std::vector<uint32_t>>& steps,
                                             size_t n_experts) {
    std::vector<uint64_t> next(n_experts, kNever);
    std::vector<std::vector<uint64_t>> uses(steps.size());
    for (size_t s = steps.size(); s-- > 0;) {
        for (const uint32_t expert : steps[s]) uses[s].push_back(std::exchange(next[expert], s));
    }
    return uses;
}

SimulationResult simulate_ranked(const RoutingTrace& trace, const SimulationOptions& options) {
    const size_t n_experts = size_t{trace.shape.n_layers} * trace.shape.n_experts;
    const std::vector<std::vector<uint32_t>> steps = steps_of(trace);
    std::vector<std::vector<uint64_t>> future;
    if (options.policy == CachePolicy::kBelady) future = next_uses(steps, n_experts);
    std::vector<uint64_t> counts(n_experts);
    RankedCache cache(n_experts, options.n_slots);
    for (size_t s = 0; s < steps.size(); ++s) {
        std::vector<Rank> ranks;
        for (size_t i = 0; i < steps[s].size(); ++i) {
            switch (options.policy) {
                case CachePolicy::kLru:
                    ranks.push_back({s, 0});
                    break;
                case CachePolicy::kLfu:
                    ranks.push_back({++counts[steps[s][i]], s});
                    break;
                default:
                    ranks.push_back({kNever - future[s][i], 0});
                    break;
            }
        }
        cache.step(steps[s], ranks);
    }
    return cache.result();
}

SimulationResult simulate_ours(const RoutingTrace& trace, const SimulationOptions& options) {
    const TraceShape& shape = trace.shape;
    Residency residency(one_pool(shape.n_layers, shape.n_experts, options.n_slots));
    residency.set_link_records(options.link_records);
    std::vector<uint32_t> ids;
    std::vector<uint32_t> predicted;
    std::vector<float> probabilities;
    for (size_t token = 0; token < trace.n_tokens; ++token) {
        for (uint32_t layer = 0; layer < shape.n_layers; ++layer) {
            const std::span<const uint16_t> used = trace.used(token, layer);
            ids.assign(used.begin(), used.end());
            if (options.link_records > 0) {
                const std::span<const uint16_t> next = trace.predicted_next(token, layer);
                predicted.assign(next.begin(), next.end());
                probabilities.clear();
                for (const uint16_t stored : trace.predicted_probabilities(token, layer))
                    probabilities.push_back(static_cast<float>(stored) / 65536.0F);
            }
            residency.resolve(layer, ids, predicted, probabilities);
        }
    }
    const PageHeader& header = residency.header();
    return {value_of(header.n_hits), value_of(header.n_misses), value_of(header.n_evictions),
            value_of(header.n_prefetched), value_of(header.n_prefetched_used)};
}

}  // namespace

std::string_view name_of(CachePolicy policy) {
    switch (policy) {
        case CachePolicy::kLru:
            return "lru";
        case CachePolicy::kLfu:
            return "lfu";
        case CachePolicy::kBelady:
            return "belady";
        case CachePolicy::kOurs:
            break;
    }
    return "vkmoe";
}

SimulationResult& SimulationResult::operator+=(const SimulationResult& other) {
    n_hits += other.n_hits;
    n_misses += other.n_misses;
    n_evictions += other.n_evictions;
    n_prefetched += other.n_prefetched;
    n_prefetched_used += other.n_prefetched_used;
    return *this;
}

double SimulationResult::hit_rate() const {
    const uint64_t n_wanted = n_hits + n_misses;
    return n_wanted == 0 ? 0 : static_cast<double>(n_hits) / static_cast<double>(n_wanted);
}

double SimulationResult::prefetched_used_share() const {
    return n_prefetched == 0 ? 1 : static_cast<double>(n_prefetched_used) / static_cast<double>(n_prefetched);
}

SimulationResult simulate(const RoutingTrace& trace, const SimulationOptions& options) {
    if (options.n_slots < trace.shape.n_used) {
        fail(ErrorCode::kInvalidArgument, "{} slots are too few: a token of '{}' uses {} experts per layer",
             options.n_slots, trace.shape.model, trace.shape.n_used);
    }
    if (options.policy != CachePolicy::kOurs) return simulate_ranked(trace, options);
    if (options.link_records > 0 && trace.shape.n_predicted == 0) {
        fail(ErrorCode::kInvalidArgument,
             "the trace of '{}' has no look-ahead, which prefetching needs; omit --link", trace.shape.model);
    }
    return simulate_ours(trace, options);
}

}  // namespace vkmoe
