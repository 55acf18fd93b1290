#pragma once

#include "sched/host_step.h"
#include "sched/recorder.h"
#include "sched/scheduler.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace vkmoe {

/// What the device does up to a step of the host, or to the program's end.
struct ProgramPart {
    std::vector<Dispatch> dispatches;
    std::vector<std::pair<Allocation, Allocation>> copies;  ///< from, to: after the dispatches
    std::unique_ptr<HostStep> step;                         ///< null only in the last part
    /// Recorded along with the part. The step submits each list when it wants, as often as it wants, or
    /// never.
    std::vector<std::vector<Dispatch>> step_dispatches;
};

/// Work that is recorded once and run as often as it comes again: one command buffer, or several with steps
/// of the host between them.
class Program {
  public:
    Program(const std::shared_ptr<Device>& device, Profiler* profiler, std::vector<ProgramPart> parts);

    /// Runs it and waits until it is done. Throws what steps and submissions throw, when nothing is in flight
    /// any more.
    void run(Scheduler& scheduler) const;

    struct Counts {
        uint32_t dispatches = 0;
        uint32_t barriers = 0;
        uint32_t command_buffers = 0;

        bool operator==(const Counts&) const = default;
    };
    /// Of all that was recorded, whether or not steps submit it.
    Counts counts() const;

  private:
    struct Part {
        std::unique_ptr<CommandBuffer> commands;
        std::unique_ptr<HostStep> step;
        std::vector<std::unique_ptr<CommandBuffer>> step_commands;
    };
    std::vector<Part> parts_;
};

}  // namespace vkmoe
