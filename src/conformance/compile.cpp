#include "conformance/compile.h"

#include "base/error.h"

#include <algorithm>
#include <chrono>
#include <map>

namespace vkmoe::conformance {
namespace {

constexpr std::chrono::milliseconds kTick(100);

/// What the device cannot do of a cell; empty: nothing.
std::string missing_for_cell(const DevicePlan& plan, const KernelKey& cell) {
    std::string missing = missing_for_kernels(plan, cell.path);
    if (missing.empty() && uses_matrices(cell.path) && !plan.takes(cell.path)) missing = "another VKMOE_PATH";
    return missing;
}

/// A pipeline that was asked for, and where its result goes.
struct Request {
    const Pipeline* pipeline;
    size_t result;
};

class Compilation {
  public:
    Compilation(KernelContext& kernels, const CompileOptions& options, PipelineReport& report)
        : kernels_(kernels), options_(options), report_(report) {}

    void request_all() {
        for (const KernelKey& cell : options_.cells) {
            const std::string missing = missing_for_cell(kernels_.plan(), cell);
            if (!missing.empty()) {
                report_.left_out.insert(fmt::format("path {} needs {}", path_name(cell.path), missing));
                continue;
            }
            for (const Step& step : options_.steps) request(cell, step);
        }
    }

    void wait(const RunProgress& progress) {
        for (const Request& request : requests_) {
            const size_t done = static_cast<size_t>(&request - requests_.data());
            if (progress) progress(done, requests_.size(), request.pipeline->name());
            while (!request.pipeline->wait_for(kTick))
                if (progress) progress(done, requests_.size(), request.pipeline->name());
            finish(*request.pipeline, report_.pipelines[request.result]);
        }
        if (progress) progress(requests_.size(), requests_.size(), {});
    }

  private:
    void request(const KernelKey& cell, const Step& step) {
        std::vector<const Pipeline*> pipelines;
        try {
            pipelines = options_.request(kernels_, cell, step);
        } catch (const Error& error) {
            // No pipeline came of it: all such steps of a cell share one result.
            PipelineResult& result = result_of(cell, nullptr, step);
            result.kernel = kernels_.kernel(cell).name;
            result.error = error.what();
            result.is_done = true;
            return;
        }
        for (const Pipeline* pipeline : pipelines) result_of(cell, pipeline, step);
    }

    PipelineResult& result_of(const KernelKey& cell, const Pipeline* pipeline, const Step& step) {
        const auto [known, is_new] =
            known_.try_emplace({kernels_.kernel(cell).spirv.data(), pipeline}, report_.pipelines.size());
        if (is_new) {
            PipelineResult& result = report_.pipelines.emplace_back();
            result.cell = cell;
            result.in_plan = is_planned(kernels_.plan(), cell);
            if (pipeline != nullptr) {
                result.kernel = pipeline->name();
                result.constants = pipeline->source().constants;
                requests_.push_back({pipeline, known->second});
            }
        }
        PipelineResult& result = report_.pipelines[known->second];
        result.shapes.insert(step.shape->name);
        result.n_tokens.insert(step.n_tokens);
        return result;
    }

    void finish(const Pipeline& pipeline, PipelineResult& result) {
        try {
            static_cast<void>(pipeline.handle());
            result.executables = options_.executables_of(pipeline);
            result.statistics = shader_statistics(result.executables);
        } catch (const Error& error) {
            result.error = error.what();
        }
        result.milliseconds = pipeline.measures().milliseconds;
        result.is_done = true;
    }

    KernelContext& kernels_;
    const CompileOptions& options_;
    PipelineReport& report_;
    std::map<std::pair<const uint32_t*, const Pipeline*>, size_t> known_;  // results
    std::vector<Request> requests_;                                        // in the order of their making
};

}  // namespace

bool is_planned(const DevicePlan& plan, const KernelKey& cell) {
    const Selection selection = select_kernel(plan, cell.op, cell.type);
    return selection.kernel != nullptr && selection.kernel->key == cell;
}

void compile_pipelines(KernelContext& kernels, const CompileOptions& options, const RunProgress& progress,
                       PipelineReport& report) {
    const auto start = std::chrono::steady_clock::now();
    const auto note_time = [&] {
        report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    Compilation compilation(kernels, options, report);
    try {
        compilation.request_all();
        compilation.wait(progress);
    } catch (...) {
        note_time();
        throw;
    }
    note_time();
}

}  // namespace vkmoe::conformance
