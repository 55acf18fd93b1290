#include "experts/locality.h"

#include <fmt/format.h>

#include <algorithm>

#include "experts/simulate.h"

namespace vkmoe {

double LocalityCurve::hit_rate_at(double share) const {
    if (share >= 1) return 1;
    Point before{0, 0};
    Point after{1, 1};
    for (const Point& point : points) {
        if (point.share > share) {
            after = point;
            break;
        }
        before = point;
    }
    if (share <= before.share) return before.hit_rate;
    const double way = (share - before.share) / (after.share - before.share);
    return before.hit_rate + way * (after.hit_rate - before.hit_rate);
}

LocalityCurve published_locality() {
    return {{{0.19, 0.74}, {0.38, 0.89}, {0.64, 0.96}}, "the published LRU hit rates of Qwen3-30B-A3B"};
}

LocalityCurve measured_locality(const RoutingTrace& trace) {
    constexpr uint32_t kPoints = 16;
    const uint32_t n_experts = trace.shape.n_layers * trace.shape.n_experts;
    LocalityCurve curve;
    curve.source = fmt::format("a trace of {} tokens of {}", trace.n_tokens, trace.shape.model);
    uint32_t last = 0;
    for (uint32_t i = 1; i <= kPoints; ++i) {
        const uint32_t n_slots = std::max(n_experts * i / kPoints, trace.shape.n_used);
        if (n_slots == last) continue;
        last = n_slots;
        const SimulationResult result = simulate(trace, {.policy = CachePolicy::kOurs, .n_slots = n_slots});
        curve.points.push_back({static_cast<double>(n_slots) / n_experts, result.hit_rate()});
    }
    return curve;
}

}  // namespace vkmoe
