#pragma once

#include "gpu/profiler.h"
#include "kernels/dispatch.h"

#include <memory>
#include <span>
#include <vector>

namespace vkmoe {

/// A recorded command buffer. Owned; may be submitted again once its last submission has finished.
class CommandBuffer {
  public:
    ~CommandBuffer();
    CommandBuffer(const CommandBuffer&) = delete;
    CommandBuffer& operator=(const CommandBuffer&) = delete;
    VkCommandBuffer handle() const { return commands_; }
    const Profiler::Queries* queries() const { return queries_.get(); }
    uint32_t dispatch_count() const { return dispatch_count_; }
    /// Barriers between dispatches: the first and the last of every command buffer are not counted.
    uint32_t barrier_count() const { return barrier_count_; }

  private:
    friend class Recorder;
    CommandBuffer() = default;
    std::shared_ptr<Device> device_;
    VkCommandPool pool_ = VK_NULL_HANDLE;
    VkCommandBuffer commands_ = VK_NULL_HANDLE;
    std::shared_ptr<Profiler::Queries> queries_;
    uint32_t dispatch_count_ = 0;
    uint32_t barrier_count_ = 0;
};

/// Turns dispatches into a command buffer. A barrier stands only where a dispatch reads or writes what an
/// earlier one since the last barrier wrote, or writes what one read; and then it covers everything before
/// it. Ends with a barrier to the host, and begins with one from the host and from whatever was submitted
/// before.
/// In programs built for tests VKMOE_SHUFFLE_DISPATCHES=SEED runs the commands between two barriers in a
/// random order, and VKMOE_SHUFFLE_DISPATCHES=reversed the last first: results change where a dispatch does
/// not name all that it reads and writes.
class Recorder {
  public:
    /// profiler: null, or where to measure each run of equal labels.
    Recorder(std::shared_ptr<Device> device, Profiler* profiler = nullptr);
    ~Recorder();

    void add(const Dispatch& dispatch);
    void add(std::span<const Dispatch> dispatches);
    /// Copies bytes between two pieces of device memory.
    void copy(const Allocation& from, const Allocation& to);
    std::unique_ptr<CommandBuffer> finish();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace vkmoe
