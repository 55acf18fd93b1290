#pragma once

#include "conformance/run.h"

#include <string>

namespace vkmoe::conformance {

/// The other side of a Supervisor, in a process that it has started: opens the device and runs one cell after
/// the other as it is asked, until the supervisor ends the stream.
///
/// Both sides write lines. The supervisor asks:
///     run CELL        and gets "case" before each case, then "cell"
///     measure CELL    and gets "speeds"; without a name, "copy"
///     memory          in answer to "wants_memory": this worker alone may take large pieces now
/// The worker answers with a JSON object that has one of these keys, and "validation_errors", their number so
/// far:
///     "device"        it is open, and this is what it is
///     "case"          the case that begins, and under "so_far" the result of the cell without it
///     "wants_memory"  it waits for "memory", and has it until the case ends
///     "cell"          the result of the cell
///     "speeds", "copy" what was measured
///     "error"         a failed or lost device, by "code" and "message"; the process ends then
///     "closed"        the device is closed
void serve_cells(const std::string& device, const RunOptions& options);

}  // namespace vkmoe::conformance
