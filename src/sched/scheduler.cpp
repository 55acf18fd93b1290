#include "sched/scheduler.h"

namespace vkmoe {

Scheduler::Scheduler(std::shared_ptr<Device> device, Profiler* profiler)
    : device_(std::move(device)), profiler_(profiler), timeline_(device_) {}

uint64_t Scheduler::submit(const CommandBuffer& commands, std::span<const TimelinePoint> waits) {
    return submit_commands(*device_, device_->compute_queue(), commands.handle(), timeline_, waits);
}

void Scheduler::wait(uint64_t value, double timeout_seconds) {
    timeline_.wait(value, timeout_seconds);
}

void Scheduler::collect(const CommandBuffer& commands) {
    if (profiler_ != nullptr && commands.queries() != nullptr) profiler_->collect(*commands.queries());
}

void Scheduler::run(const CommandBuffer& commands) {
    const uint64_t done = submit(commands);
    try {
        wait(done);
    } catch (...) {
        device_->drain();  // the caller may let go of the commands next
        throw;
    }
    collect(commands);
}

void Scheduler::run(std::span<const Dispatch> dispatches) {
    Recorder recorder(device_, profiler_);
    recorder.add(dispatches);
    run(*recorder.finish());
}

}  // namespace vkmoe
