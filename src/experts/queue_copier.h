#pragma once

#include "experts/record_copier.h"
#include "gpu/arena.h"
#include "gpu/copy_queue.h"

namespace vkmoe {

/// Copies by the transfer queue, or by the compute queue where there is none. Records that the device does
/// not see pass through a ring of staging memory.
class QueueCopier : public RecordCopier {
  public:
    QueueCopier(const std::shared_ptr<Device>& device, uint64_t largest_record);

    void prepare() override;
    uint64_t submit(std::span<const RecordMove> moves, std::span<const TimelinePoint> waits) override;
    std::vector<TimelinePoint> arrival(uint64_t value) override { return {queue_.point(value)}; }
    void wait(uint64_t value) override { queue_.wait(value); }
    uint64_t reached() const override { return queue_.timeline().reached(); }

  private:
    struct Stage {
        Allocation memory;
        uint64_t free_at = 0;  // value of the queue
    };
    static constexpr uint64_t kNotSubmitted = UINT64_MAX;

    void submit_batch(std::span<const TimelinePoint> waits);
    Allocation stage(const RecordMove& move, std::span<const TimelinePoint> waits);

    Arena arena_;
    CopyQueue queue_;  // ends first: it waits for copies that read the arena's memory
    uint64_t largest_record_;
    std::vector<Stage> stages_;  // empty until the first record that the device does not see
    size_t next_stage_ = 0;
    std::vector<BufferCopy> batch_;
    uint64_t submitted_ = 0;
};

}  // namespace vkmoe
