#pragma once

#include "conformance/shader_statistics.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vkmoe::conformance {

/// A JSON report of `vkmoe conformance` as another run reads it.
struct StoredReport {
    struct Pipeline {
        std::string kernel;
        std::vector<uint32_t> constants;
        bool in_plan = false;
        std::string error;
        double milliseconds = 0;
        ShaderStatistics statistics;
    };
    struct Cell {
        std::string name;     ///< "matvec/Q4_K/dot4"
        std::string outcome;  ///< "ok"
    };

    std::string run;  ///< device, driver and version, for people
    bool is_of_pipelines = false;
    std::vector<Pipeline> pipelines;  ///< of --compile-only
    std::vector<Cell> cells;          ///< else
};

/// From the text of a report. Error(kBadFile) that names the file where it is none.
StoredReport parse_report(std::string_view text, const std::string& file);

struct ReportDiff {
    std::string text;       ///< one line a difference, the most important first
    bool is_worse = false;  ///< something fails or spills in the second report that did not in the first
};

/// Error(kInvalidArgument) where the two are of different kinds.
ReportDiff diff_reports(const StoredReport& before, const StoredReport& after);

}  // namespace vkmoe::conformance
