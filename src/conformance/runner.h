#pragma once

#include "conformance/perf.h"
#include "conformance/run.h"
#include "gpu/caps.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace vkmoe::conformance {

/// Runs cells on one device, which is open from the runner's construction on.
class Runner {
  public:
    virtual ~Runner() = default;

    /// Of the device; at least what header() of report.h tells.
    virtual DeviceCaps caps() const = 0;
    /// As run_cells does.
    virtual void run(const std::vector<KernelKey>& cells, const RunProgress& progress, RunResult& result) = 0;
    /// As measure_cells does, for the cells of the result, to which failures are added.
    virtual SpeedReport measure(const std::vector<KernelKey>& cells, const RunProgress& progress,
                                RunResult& result) = 0;
    /// Closes the device, unless it is lost. Adds failures to the result.
    virtual void close(RunResult& result) = 0;
    /// Errors that the validation layer has reported so far.
    virtual uint64_t validation_errors() const = 0;
};

/// In this process, cells on several threads: for debuggers. A driver that crashes ends the process; a lost
/// device ends the run. Throws as Device::create does.
std::unique_ptr<Runner> run_in_process(const std::string& device, const RunOptions& options);

}  // namespace vkmoe::conformance
