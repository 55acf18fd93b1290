#pragma once

#include "conformance/cells.h"
#include "conformance/suite.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace vkmoe::conformance {

/// Which speeds are measured.
struct SpeedOptions {
    std::vector<uint32_t> n_tokens;  ///< empty: 1, and as many of a prompt as suit the device
    bool other_paths = false;        ///< also of kernels on paths that the plan does not take
};

struct RunOptions {
    Depth depth = Depth::kQuick;
    uint32_t seed = 0;
    double time_limit = 60;   ///< seconds that one submission may take
    double case_limit = 300;  ///< seconds that a case may take; only a Supervisor can end one
    uint32_t n_threads = 0;   ///< cells at once; 0: as many as there are processors, at most four
    SpeedOptions speeds;
    FindCases find_cases = cases_of;  ///< another one in tests of the suite
};

struct RunResult {
    std::vector<CellResult> cells;  ///< all, in the order asked for
    std::string ended;  ///< why the run ended before its end, and what was running then; else empty
    bool device_lost = false;
    std::vector<std::string> problems;  ///< that are no cell's, each a sentence
    double seconds = 0;
};

/// Of cells that have not run.
RunResult waiting_result(const std::vector<KernelKey>& cells);

/// RunOptions::n_threads, or the number that 0 stands for.
uint32_t cells_at_once(const RunOptions& options);

/// Heard every tenth of a second and at the end, on the calling thread: how many cells are done of how many,
/// and one that runs. What it throws stops the run; the result so far is complete by then.
using RunProgress = std::function<void(size_t done, size_t total, std::string_view running)>;

/// Runs cells on several threads, in any order: each case has its own generator, so that nothing depends on
/// it. Cells that the device cannot run are not, and say what it lacks. A lost or hung device ends the run:
/// then nothing that holds the device can be destroyed in peace, and the caller had better leave by
/// std::_Exit.
void run_cells(KernelContext& kernels, const std::vector<KernelKey>& cells, const RunOptions& options,
               const RunProgress& progress, RunResult& result);

}  // namespace vkmoe::conformance
