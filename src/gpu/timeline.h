#pragma once

#include "gpu/device.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace vkmoe {

/// A value of a timeline semaphore, for a submission to wait for.
struct TimelinePoint {
    VkSemaphore semaphore = VK_NULL_HANDLE;
    uint64_t value = 0;
};
inline constexpr size_t kMaxTimelineWaits = 4;  ///< of one submission

/// A timeline semaphore: submissions signal rising values, the host (or another queue) waits for one.
class Timeline {
  public:
    explicit Timeline(std::shared_ptr<Device> device);
    ~Timeline();
    Timeline(const Timeline&) = delete;
    Timeline& operator=(const Timeline&) = delete;

    VkSemaphore handle() const { return semaphore_; }
    uint64_t next() { return ++last_; }  ///< reserves the value that the next submission signals
    uint64_t last() const { return last_; }
    uint64_t reached() const;
    TimelinePoint point(uint64_t value) const { return {semaphore_, value}; }
    /// Waits until the value is reached. Error(kDeviceLost), for good, when the device is lost or does not
    /// reach it within timeout_seconds (0: Device::timeout_seconds()).
    void wait(uint64_t value, double timeout_seconds = 0) const;

  private:
    std::shared_ptr<Device> device_;
    VkSemaphore semaphore_ = VK_NULL_HANDLE;
    uint64_t last_ = 0;
};

/// Waits until all points are reached, as Timeline::wait does.
void wait_for(Device& device, std::span<const TimelinePoint> points, double timeout_seconds = 0);

/// Submits commands that begin when all of `waits` (at most kMaxTimelineWaits) are reached and that signal
/// the timeline's next value, which it returns. Throws kDeviceLost.
uint64_t submit_commands(Device& device, VkQueue queue, VkCommandBuffer commands, Timeline& timeline,
                         std::span<const TimelinePoint> waits = {});

}  // namespace vkmoe
