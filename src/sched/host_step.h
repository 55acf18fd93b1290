#pragma once

#include "sched/scheduler.h"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace vkmoe {

/// Work of the host between two parts of a program (program.h). It reads results of the part before, and may
/// submit commands of its own before the next part begins.
class HostStep {
  public:
    HostStep() = default;
    virtual ~HostStep() = default;
    HostStep(const HostStep&) = delete;
    HostStep& operator=(const HostStep&) = delete;

    struct Done {
        std::vector<TimelinePoint> waits;        ///< the next part begins when all of them are reached
        std::vector<const CommandBuffer*> runs;  ///< submitted by the step and not yet collected
    };
    /// The part before was submitted and reaches `value` of the scheduler's timeline. commands: those of
    /// ProgramPart::step_dispatches, recorded; null for a list without dispatches.
    virtual Done run(std::span<const std::unique_ptr<CommandBuffer>> commands, uint64_t value,
                     Scheduler& scheduler) const = 0;
};

}  // namespace vkmoe
