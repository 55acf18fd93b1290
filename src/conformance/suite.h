#pragma once

#include "conformance/case.h"
#include "conformance/case_context.h"
#include "conformance/cells.h"
#include "kernels/kernel_table.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vkmoe::conformance {

/// What there is to try of a cell. One function an op: a new op does not compile without.
std::vector<Case> cases_of(const KernelKey& cell, Depth depth);
using FindCases = std::vector<Case> (*)(const KernelKey& cell, Depth depth);

/// The seed of one case's generator: by the run's seed and the two names, so that it repeats alone.
uint32_t case_seed(uint32_t seed, std::string_view cell, std::string_view name);

struct CaseFailure {
    std::string case_name;
    std::string message;  ///< one line
    std::optional<double> nmse;
    std::optional<uint64_t> first_wrong;  ///< element of the output
    std::string expected;
    std::string got;
};

struct CaseSkip {
    std::string case_name;
    std::string reason;
};

struct CellResult {
    KernelKey cell{};
    std::string missing;   ///< the feature without which the device cannot run it; empty where it can
    uint32_t n_cases = 0;  ///< that ran
    std::vector<CaseFailure> failures;
    std::vector<CaseSkip> skipped;  ///< cases that ask for more than the device has
    double seconds = 0;
    bool ran = false;  ///< to its end, or found missing
};

enum class Outcome { kOk, kUnsupported, kFailed, kNotRun };
Outcome outcome(const CellResult& result);

/// Told before each case what there is of the cell so far, and the case's name.
using OnCase = std::function<void(const CellResult& so_far, std::string_view name)>;

/// Runs all cases of a cell, unless the device lacks something for it. Failures of a case are in the result;
/// a lost or hung device is thrown, as Error(kDeviceLost). find_cases: for tests of the suite.
CellResult run_cell(Bench& bench, const KernelKey& cell, Depth depth, uint32_t seed,
                    const OnCase& on_case = {}, FindCases find_cases = cases_of);

}  // namespace vkmoe::conformance
