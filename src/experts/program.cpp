#include "experts/program.h"

#include "base/error.h"
#include "experts/host_pager.h"

namespace vkmoe {

namespace {

std::unique_ptr<CommandBuffer> record(const std::shared_ptr<Device>& device, Profiler* profiler,
                                      const std::vector<Dispatch>& dispatches) {
    if (dispatches.empty()) return nullptr;
    Recorder recorder(device, profiler);
    recorder.add(dispatches);
    return recorder.finish();
}

}  // namespace

Program::Program(const std::shared_ptr<Device>& device, Profiler* profiler, std::vector<ProgramPart> parts) {
    for (const ProgramPart& part : parts) {
        Recorder recorder(device, profiler);
        recorder.add(part.dispatches);
        for (const auto& [from, to] : part.copies) recorder.copy(from, to);
        Recorded recorded{recorder.finish(), {}};
        if (part.step) {
            recorded.step = RecordedHostStep{part.step->step,
                                             record(device, profiler, part.step->hits),
                                             {record(device, profiler, part.step->waves[0]),
                                              record(device, profiler, part.step->waves[1])}};
        }
        parts_.push_back(std::move(recorded));
    }
}

void Program::run(Scheduler& scheduler, HostPager* pager) const {
    uint64_t last = 0;
    std::vector<const CommandBuffer*> runs;
    try {
        std::vector<TimelinePoint> waits;
        for (const Recorded& part : parts_) {
            last = scheduler.submit(*part.commands, waits);
            runs.push_back(part.commands.get());
            waits.clear();
            if (!part.step) continue;
            if (pager == nullptr)
                fail(ErrorCode::kInternal, "a batch with host-paged experts runs without a pager");
            HostPager::Done done = pager->run(*part.step, last, scheduler);
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

}  // namespace vkmoe
