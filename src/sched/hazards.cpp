#include "sched/hazards.h"

#include <algorithm>

namespace vkmoe {
namespace {

bool conflict(const Access& left, const Access& right) {
    return (left.writes() || right.writes()) && left.memory.address < right.memory.end() &&
           right.memory.address < left.memory.end();
}

}  // namespace

bool HazardTracker::conflicts(std::span<const Access> accesses) const {
    return std::ranges::any_of(accesses, [this](const Access& access) {
        return std::ranges::any_of(tracked_,
                                   [&access](const Access& tracked) { return conflict(access, tracked); });
    });
}

void HazardTracker::add(std::span<const Access> accesses) {
    for (const Access& access : accesses)
        if (!access.memory.is_absent()) tracked_.push_back(access);
}

}  // namespace vkmoe
