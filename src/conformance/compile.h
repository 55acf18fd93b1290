#pragma once

#include "conformance/pipeline_report.h"
#include "conformance/pipeline_requests.h"
#include "conformance/run.h"

#include <functional>
#include <vector>

namespace vkmoe::conformance {

/// Whether the plan takes the cell for its operation and type.
bool is_planned(const DevicePlan& plan, const KernelKey& cell);

struct CompileOptions {
    std::vector<KernelKey> cells;
    std::vector<Step> steps;
    /// Others in tests of the run.
    std::function<decltype(request_pipelines)> request = request_pipelines;
    std::function<std::vector<PipelineExecutable>(const Pipeline&)> executables_of =
        [](const Pipeline& pipeline) { return pipeline.measures().executables; };
};

/// Makes the pipelines that steps take of cells, each once, and runs none. `kernels`: for compiling only.
/// Pipelines that fail are in the result. What the progress throws stops the run; the result so far is
/// complete by then. Cells that the device cannot run are left out.
void compile_pipelines(KernelContext& kernels, const CompileOptions& options, const RunProgress& progress,
                       PipelineReport& report);

}  // namespace vkmoe::conformance
