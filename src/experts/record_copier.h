#pragma once

#include "experts/host_tier.h"
#include "experts/pager_mode.h"
#include "gpu/timeline.h"

#include <cstdint>
#include <span>
#include <vector>

namespace vkmoe {

/// A record to bring to a slot.
struct RecordMove {
    HostRecord from;  ///< stays as it is until the move is done
    Allocation to;    ///< its size is how much is copied
};

/// Brings records from host memory to slots, beside what the compute queue does, in the order of submission.
/// Not thread-safe.
class RecordCopier {
  public:
    virtual ~RecordCopier() = default;

    /// Takes the staging memory now that submit() would otherwise take when it first needs some.
    virtual void prepare() {}

    /// Copies when all of `waits` (at most kMaxTimelineWaits) are reached, and returns a value, higher than
    /// those before, that tells that it is done.
    virtual uint64_t submit(std::span<const RecordMove> moves, std::span<const TimelinePoint> waits) = 0;
    /// What commands that read what came by `value` must wait for; or waits itself, and then it is nothing.
    virtual std::vector<TimelinePoint> arrival(uint64_t value) = 0;
    virtual void wait(uint64_t value) = 0;
    virtual uint64_t reached() const = 0;
};

}  // namespace vkmoe
