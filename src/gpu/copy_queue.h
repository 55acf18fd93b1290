#pragma once

#include "gpu/arena.h"
#include "gpu/timeline.h"

#include <array>
#include <cstdint>
#include <memory>
#include <span>

namespace vkmoe {

/// Bytes to copy from one piece of memory to another of the same size.
struct BufferCopy {
    Allocation from;
    Allocation to;
};

/// Copies between buffers by a queue, beside what the compute queue does: batches run in the order of their
/// submission, each seeing what those before it wrote. Reuses a ring of command buffers; nothing is allocated
/// after construction. Not thread-safe.
class CopyQueue {
  public:
    enum class Queue {
        kTransfer,  ///< the transfer queue where the plan has one, else the compute queue
        kCompute,
    };
    explicit CopyQueue(std::shared_ptr<Device> device, Queue queue = Queue::kTransfer);
    ~CopyQueue();
    CopyQueue(const CopyQueue&) = delete;
    CopyQueue& operator=(const CopyQueue&) = delete;

    /// Copies when all of `waits` (at most kMaxTimelineWaits) are reached, and returns the value of
    /// timeline() that tells that it is done: give point() of it to Scheduler::submit, or wait() for it.
    /// Copies of a batch may run in any order. Without copies nothing is submitted and the last value
    /// returned. Waits for the batch kBatches before it where that still runs. On a queue of its own
    /// (has_own_queue) nothing but `waits` orders it with compute work; on the compute queue it runs after
    /// all that was submitted before, and must be submitted before what waits for it.
    uint64_t submit(std::span<const BufferCopy> copies, std::span<const TimelinePoint> waits = {});

    TimelinePoint point(uint64_t value) const { return timeline_.point(value); }
    /// The host sees what was copied to mapped memory. timeout_seconds as for Timeline::wait.
    void wait(uint64_t value, double timeout_seconds = 0) const { timeline_.wait(value, timeout_seconds); }
    const Timeline& timeline() const { return timeline_; }
    bool has_own_queue() const { return queue_ != device_->compute_queue(); }

    static constexpr uint32_t kBatches = 16;  ///< under way at a time

  private:
    struct Batch {
        VkCommandBuffer commands = VK_NULL_HANDLE;
        uint64_t done_at = 0;  // may be recorded again when the timeline is there
    };
    void record(VkCommandBuffer commands, std::span<const BufferCopy> copies) const;

    std::shared_ptr<Device> device_;
    VkQueue queue_ = VK_NULL_HANDLE;
    Timeline timeline_;
    VkCommandPool pool_ = VK_NULL_HANDLE;
    std::array<Batch, kBatches> batches_;
    uint32_t next_batch_ = 0;
    uint64_t submitted_ = 0;
};

}  // namespace vkmoe
