#include "conformance/case_context.h"

namespace vkmoe::conformance {

Bench::Bench(KernelContext& context)
    : kernels(context), scheduler(context.shared_device()), memory(context.shared_device()) {}

CaseContext::CaseContext(Bench& bench, uint32_t seed) : bench_(bench), random_(seed) {
    bench_.memory.clear();
}

void CaseContext::run(std::span<const Dispatch> dispatches) {
    bench_.memory.upload();
    Recorder recorder(bench_.kernels.shared_device());
    recorder.add(dispatches);
    const std::unique_ptr<CommandBuffer> commands = recorder.finish();
    bench_.scheduler.wait(bench_.scheduler.submit(*commands), bench_.time_limit);
    bench_.memory.check();
}

}  // namespace vkmoe::conformance
