#pragma once

#include "experts/host_step.h"
#include "sched/recorder.h"
#include "sched/scheduler.h"

#include <array>
#include <memory>
#include <optional>
#include <vector>

namespace vkmoe {

class HostPager;

/// A batch as it is recorded: one command buffer, or where the host pages experts several with work of the
/// host between them. Replayed as often as the batch's shape comes again.
class Program {
  public:
    /// parts: where there are several, each but the last ends in a step of the host.
    Program(const std::shared_ptr<Device>& device, Profiler* profiler, std::vector<ProgramPart> parts);

    /// Runs it and waits until it is done. pager: needed where parts end in steps. Throws what the pager
    /// throws, when nothing is in flight any more.
    void run(Scheduler& scheduler, HostPager* pager) const;

  private:
    struct Recorded {
        std::unique_ptr<CommandBuffer> commands;
        std::optional<RecordedHostStep> step;
    };
    std::vector<Recorded> parts_;
};

}  // namespace vkmoe
