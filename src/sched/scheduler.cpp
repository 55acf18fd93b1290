#include "sched/scheduler.h"

#include "base/error.h"
#include "base/log.h"
#include "gpu/vk_struct.h"

namespace vkmoe {

Scheduler::Scheduler(std::shared_ptr<Device> device, Profiler* profiler)
    : device_(std::move(device)), profiler_(profiler), timeline_(device_) {}

Scheduler::~Scheduler() {
    try {
        wait(submitted_);  // the timeline may not go while the device will still signal it
    } catch (const Error& error) {
        log_error("{}", error.what());
    }
}

uint64_t Scheduler::submit(const CommandBuffer& commands) {
    auto buffer = vk_struct<VkCommandBufferSubmitInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO);
    buffer.commandBuffer = commands.handle();
    auto signal = vk_struct<VkSemaphoreSubmitInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO);
    signal.semaphore = timeline_.handle();
    signal.value = timeline_.next();
    signal.stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT;
    auto info = vk_struct<VkSubmitInfo2>(VK_STRUCTURE_TYPE_SUBMIT_INFO_2);
    info.commandBufferInfoCount = 1;
    info.pCommandBufferInfos = &buffer;
    info.signalSemaphoreInfoCount = 1;
    info.pSignalSemaphoreInfos = &signal;
    device_->submit(device_->compute_queue(), info);
    submitted_ = signal.value;
    return submitted_;
}

void Scheduler::wait(uint64_t value, double timeout_seconds) {
    timeline_.wait(value, timeout_seconds);
}

void Scheduler::run(const CommandBuffer& commands) {
    wait(submit(commands));
    if (profiler_ != nullptr && commands.queries() != nullptr) profiler_->collect(*commands.queries());
}

void Scheduler::run(std::span<const Dispatch> dispatches) {
    Recorder recorder(device_, profiler_);
    recorder.add(dispatches);
    run(*recorder.finish());
}

}  // namespace vkmoe
