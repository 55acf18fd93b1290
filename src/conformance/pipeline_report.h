#pragma once

#include "conformance/report.h"
#include "conformance/shader_statistics.h"

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace vkmoe::conformance {

/// A pipeline that was to be made.
struct PipelineResult {
    KernelKey cell{};
    std::string kernel;  ///< its name in the kernel table
    std::vector<uint32_t> constants;
    bool in_plan = false;               ///< of a cell that the device's plan takes
    std::set<std::string_view> shapes;  ///< models whose steps take it
    std::set<uint32_t> n_tokens;        ///< in steps of so many tokens
    bool is_done = false;               ///< made, or failed
    std::string error;                  ///< why it could not be made
    double milliseconds = 0;            ///< in vkCreateComputePipelines
    std::vector<PipelineExecutable> executables;
    ShaderStatistics statistics;
};

/// Whether the driver's own figures were asked for, and had.
enum class StatisticsState { kNotWanted, kTold, kNotTold };

struct PipelineReport {
    RunFacts facts;
    StatisticsState statistics = StatisticsState::kNotWanted;
    std::vector<PipelineResult> pipelines;
    std::set<std::string> left_out;  ///< paths that the device lacks something for, and what
    std::string ended;               ///< why the run ended before its end; else empty
    double seconds = 0;
};

struct PipelineCounts {
    size_t done = 0;
    size_t failed = 0;
    size_t spilling = 0;
    size_t spilling_in_plan = 0;
};
PipelineCounts count_pipelines(const PipelineReport& report);

/// For people: the pipelines that failed, those that spill, the worst first, and a table of operations and
/// paths.
std::string text_report(const PipelineReport& report);

/// For programs, with all that the driver told; described in tests/conformance/README.md.
std::string json_report(const PipelineReport& report);

}  // namespace vkmoe::conformance
