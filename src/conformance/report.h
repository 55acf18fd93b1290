#pragma once

#include "conformance/perf.h"
#include "conformance/run.h"
#include "gpu/caps.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vkmoe::conformance {

/// What a run was: enough to repeat it and to tell the drivers apart.
struct RunFacts {
    std::string version;  ///< of vkmoe
    std::string date;     ///< UTC, ISO 8601
    std::string device;   ///< as --device takes it; empty: the default
    DeviceCaps caps;
    RunOptions options;
};

struct Report {
    RunFacts facts;
    RunResult result;
    std::optional<SpeedReport> speeds;
};

/// The present time as RunFacts::date.
std::string date_now();

/// "key: value" pairs that name the program, the time, the device and the driver.
std::vector<std::pair<std::string, std::string>> device_header(const RunFacts& facts);

/// The same, and what repeats the run.
std::vector<std::pair<std::string, std::string>> header(const RunFacts& facts);

/// The command that repeats one cell alone.
std::string repeat_command(const RunFacts& facts, const KernelKey& cell);

/// For people: a table of types and paths for each op, then failures with how to repeat them, then what was
/// unsupported and left out, and the counts.
std::string text_report(const Report& report);

/// For programs; described in tests/conformance/README.md.
std::string json_report(const Report& report);

/// One test suite an op, one test case a cell.
std::string junit_report(const Report& report);

}  // namespace vkmoe::conformance
