#include "sched/scheduler.h"

#include "base/error.h"
#include "base/log.h"

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

uint64_t Scheduler::submit(const CommandBuffer& commands, std::span<const TimelinePoint> waits) {
    submitted_ = submit_commands(*device_, device_->compute_queue(), commands.handle(), timeline_, waits);
    return submitted_;
}

void Scheduler::wait(uint64_t value, double timeout_seconds) {
    timeline_.wait(value, timeout_seconds);
}

void Scheduler::collect(const CommandBuffer& commands) {
    if (profiler_ != nullptr && commands.queries() != nullptr) profiler_->collect(*commands.queries());
}

void Scheduler::run(const CommandBuffer& commands) {
    wait(submit(commands));
    collect(commands);
}

void Scheduler::run(std::span<const Dispatch> dispatches) {
    Recorder recorder(device_, profiler_);
    recorder.add(dispatches);
    run(*recorder.finish());
}

}  // namespace vkmoe
