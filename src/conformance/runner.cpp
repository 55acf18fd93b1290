#include "conformance/runner.h"

#include "gpu/validation.h"

#include <optional>

namespace vkmoe::conformance {
namespace {

class InProcess : public Runner {
  public:
    InProcess(const std::string& device, const RunOptions& options)
        : kernels_(Device::create(device)), options_(options) {}

    DeviceCaps caps() const override { return kernels_->device().caps(); }
    void run(const std::vector<KernelKey>& cells, const RunProgress& progress, RunResult& result) override {
        run_cells(*kernels_, cells, options_, progress, result);
    }
    SpeedReport measure(const std::vector<KernelKey>& cells, const RunProgress& progress,
                        RunResult&) override {
        return measure_cells(*kernels_, cells, options_.speeds, progress);
    }
    void close(RunResult& result) override {
        if (!result.device_lost) kernels_.reset();
    }
    uint64_t validation_errors() const override { return validation_error_count(); }

  private:
    std::optional<KernelContext> kernels_;
    RunOptions options_;
};

}  // namespace

std::unique_ptr<Runner> run_in_process(const std::string& device, const RunOptions& options) {
    return std::make_unique<InProcess>(device, options);
}

}  // namespace vkmoe::conformance
