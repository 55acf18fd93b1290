#pragma once

#include <string>
#include <vector>

#include "experts/trace.h"

namespace vkmoe {

/// How often an expert that is wanted is in device memory, by the share of all experts that fit there.
struct LocalityCurve {
    struct Point {
        double share = 0;     ///< of the experts, 0 to 1
        double hit_rate = 0;  ///< 0 to 1
    };
    std::vector<Point> points;  ///< ascending shares, strictly
    std::string source;         ///< where the points come from, to be shown beside what is made of them

    /// Straight lines between the points, and from them to nothing of nothing and all of all.
    double hit_rate_at(double share) const;
};

/// What has been published of a large model with many small experts.
LocalityCurve published_locality();

/// What Residency reaches on a trace without fetching ahead. The slots are empty at first: of a short trace
/// the curve is too low where most experts fit.
LocalityCurve measured_locality(const RoutingTrace& trace);

}  // namespace vkmoe
