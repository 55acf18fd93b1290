#pragma once

#include "conformance/runner.h"

#include <memory>
#include <string>
#include <vector>

namespace vkmoe::conformance {

/// In worker processes, one cell at a time in each, so that a run goes on whatever the driver does to one of
/// them. A cell fails that crashes the driver, exceeds RunOptions::case_limit or loses the device, and does
/// not run again: another worker goes on with the next cell. Where other cells ran as the device was lost, or
/// the processes were suspended, the guilt is unknown: each cell that noticed the loss runs once more alone.
///
/// command: how this program is started to call serve_cells() with the same device and options. Opens the
/// device in the first worker: throws as Device::create does, and Error(kInternal) where the driver crashes
/// or hangs.
std::unique_ptr<Runner> run_in_workers(std::vector<std::string> command, const RunOptions& options);

}  // namespace vkmoe::conformance
