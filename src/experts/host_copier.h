#pragma once

#include "base/worker_threads.h"
#include "experts/record_copier.h"

#include <condition_variable>
#include <mutex>

namespace vkmoe {

/// Copies by threads of the host, into slots that it sees: unified memory, where a queue would copy no faster
/// and each of its batches costs a submission. Whoever waits for a copy takes part in it.
class HostCopier : public RecordCopier {
  public:
    explicit HostCopier(std::shared_ptr<Device> device);
    ~HostCopier() override;
    HostCopier(const HostCopier&) = delete;
    HostCopier& operator=(const HostCopier&) = delete;

    /// Waits for `waits` and for what was submitted before, whose places may be the same.
    uint64_t submit(std::span<const RecordMove> moves, std::span<const TimelinePoint> waits) override;
    /// Waits: what is submitted after this reads what came.
    std::vector<TimelinePoint> arrival(uint64_t value) override;
    void wait(uint64_t value) override;
    uint64_t reached() const override;

  private:
    struct Piece {
        const std::byte* from = nullptr;
        std::byte* to = nullptr;
        uint64_t bytes = 0;
    };
    /// Copies the next piece; false where there is none. lock is held before and after, and not meanwhile.
    bool copy_piece(std::unique_lock<std::mutex>& lock);
    void work();
    void stop();

    std::shared_ptr<Device> device_;
    mutable std::mutex mutex_;
    std::condition_variable work_came_;
    std::condition_variable all_copied_;
    std::vector<Piece> pieces_;  // that nobody has begun to copy
    size_t n_left_ = 0;          // pieces that are not copied
    uint64_t submitted_ = 0;
    bool stops_ = false;
    WorkerThreads workers_;
};

}  // namespace vkmoe
