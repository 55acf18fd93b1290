#include "sched/hazards.h"

#include <algorithm>

namespace vkmoe {
namespace {

bool any_overlap(std::span<const AddressRange> left, std::span<const AddressRange> right) {
    return std::any_of(left.begin(), left.end(), [right](const AddressRange& range) {
        return std::any_of(right.begin(), right.end(), [&range](const AddressRange& other) {
            return range.begin < other.end && other.begin < range.end;
        });
    });
}

}  // namespace

bool HazardTracker::conflicts(std::span<const AddressRange> reads,
                              std::span<const AddressRange> writes) const {
    return any_overlap(reads, writes_) || any_overlap(writes, writes_) || any_overlap(writes, reads_);
}

void HazardTracker::add(std::span<const AddressRange> reads, std::span<const AddressRange> writes) {
    reads_.insert(reads_.end(), reads.begin(), reads.end());
    writes_.insert(writes_.end(), writes.begin(), writes.end());
}

void HazardTracker::clear() {
    reads_.clear();
    writes_.clear();
}

}  // namespace vkmoe
