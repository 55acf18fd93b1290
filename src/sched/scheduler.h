#pragma once

#include "gpu/timeline.h"
#include "sched/recorder.h"

namespace vkmoe {

/// Submits command buffers to the compute queue in order. Its destructor waits for the device.
class Scheduler {
  public:
    explicit Scheduler(std::shared_ptr<Device> device, Profiler* profiler = nullptr);

    /// Begins when all of `waits` (at most kMaxTimelineWaits) are reached. Returns the timeline value that
    /// tells when it is done.
    uint64_t submit(const CommandBuffer& commands, std::span<const TimelinePoint> waits = {});
    /// Of a value that submit returned: for other queues to wait for.
    TimelinePoint point(uint64_t value) const { return timeline_.point(value); }
    /// timeout_seconds as for Timeline::wait.
    void wait(uint64_t value, double timeout_seconds = 0);
    /// Takes what was measured of commands that are done.
    void collect(const CommandBuffer& commands);
    /// submit, wait, and collect the profile.
    void run(const CommandBuffer& commands);
    /// Records and runs: for tests and one-off work.
    void run(std::span<const Dispatch> dispatches);

    const std::shared_ptr<Device>& device() const { return device_; }
    Profiler* profiler() const { return profiler_; }

  private:
    std::shared_ptr<Device> device_;
    Profiler* profiler_ = nullptr;
    Timeline timeline_;
};

}  // namespace vkmoe
