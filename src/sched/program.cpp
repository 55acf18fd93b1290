#include "sched/program.h"

#include <cassert>

namespace vkmoe {

namespace {

/// Null without dispatches.
std::unique_ptr<CommandBuffer> record(const std::shared_ptr<Device>& device, Profiler* profiler,
                                      const std::vector<Dispatch>& dispatches) {
    if (dispatches.empty()) return nullptr;
    Recorder recorder(device, profiler);
    recorder.add(dispatches);
    return recorder.finish();
}

}  // namespace

Program::Program(const std::shared_ptr<Device>& device, Profiler* profiler, std::vector<ProgramPart> parts) {
    for (ProgramPart& part : parts) {
        assert(part.step != nullptr || &part == &parts.back());
        Recorder recorder(device, profiler);
        recorder.add(part.dispatches);
        for (const auto& [from, to] : part.copies) recorder.copy(from, to);
        Part recorded{recorder.finish(), std::move(part.step), {}};
        for (const std::vector<Dispatch>& dispatches : part.step_dispatches)
            recorded.step_commands.push_back(record(device, profiler, dispatches));
        parts_.push_back(std::move(recorded));
    }
}

void Program::run(Scheduler& scheduler) const {
    uint64_t last = 0;
    std::vector<const CommandBuffer*> runs;
    try {
        std::vector<TimelinePoint> waits;
        for (const Part& part : parts_) {
            last = scheduler.submit(*part.commands, waits);
            runs.push_back(part.commands.get());
            waits.clear();
            if (part.step == nullptr) continue;
            HostStep::Done done = part.step->run(part.step_commands, last, scheduler);
            waits = std::move(done.waits);
            runs.insert(runs.end(), done.runs.begin(), done.runs.end());
        }
        scheduler.wait(last);
    } catch (...) {
        scheduler.device()->drain();  // the caller may next let go of what is in flight
        throw;
    }
    for (const CommandBuffer* commands : runs) scheduler.collect(*commands);
}

Program::Counts Program::counts() const {
    Counts counts;
    const auto add = [&counts](const std::unique_ptr<CommandBuffer>& commands) {
        if (commands == nullptr) return;
        counts.dispatches += commands->dispatch_count();
        counts.barriers += commands->barrier_count();
        ++counts.command_buffers;
    };
    for (const Part& part : parts_) {
        add(part.commands);
        for (const std::unique_ptr<CommandBuffer>& commands : part.step_commands) add(commands);
    }
    return counts;
}

}  // namespace vkmoe
