#include "conformance/case_context.h"

#include "base/error.h"
#include "conformance/check.h"

#include <algorithm>

namespace vkmoe::conformance {

Bench::Bench(KernelContext& context)
    : kernels(context), scheduler(context.shared_device()), memory(context.shared_device()) {}

CaseContext::CaseContext(Bench& bench, uint32_t seed) : bench_(bench), random_(seed) {
    bench_.memory.clear();
}

void CaseContext::run(std::span<const Dispatch> dispatches) {
    bench_.memory.upload();
    if (bench_.before_run) bench_.before_run(dispatches);
    Recorder recorder(bench_.kernels.shared_device());
    recorder.add(dispatches);
    const std::unique_ptr<CommandBuffer> commands = recorder.finish();
    bench_.scheduler.wait(bench_.scheduler.submit(*commands), bench_.time_limit);
    bench_.memory.check();
}

Allocation CaseContext::reserve(uint64_t bytes) {
    if (reserved_ == nullptr && bench_.before_large_pieces) bench_.before_large_pieces();
    Device& device = bench_.kernels.device();
    const uint64_t most = device.plan().max_allocation_size - Arena::kTailPadding;
    if (bytes > most) {
        throw CaseSkipped(
            fmt::format("the device allocates at most {} bytes at once, but {} are needed", most, bytes));
    }
    if (bytes > device.available_device_memory() / 4 * 3) {
        throw CaseSkipped(fmt::format("the device has {} bytes free, but more than {} are needed",
                                      device.available_device_memory(), bytes));
    }
    if (reserved_ == nullptr) {
        reserved_ = std::make_unique<Arena>(bench_.kernels.shared_device(), MemoryKind::kDevice,
                                            "large matrices under test");
    }
    try {
        return reserved_->allocate(bytes);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::kOutOfMemory) throw;
        throw CaseSkipped(error.what());
    }
}

std::array<Allocation, 2> CaseContext::reserve_distant(uint64_t bytes) {
    constexpr uint64_t kDistance = 1ull << 32;
    constexpr uint64_t kStep = 1ull << 29;
    // Drivers give addresses as they like, mostly neighbouring ones to neighbouring allocations.
    std::vector<Allocation> pieces;
    for (uint64_t total = 0; total < 2 * kDistance; total += kStep) {
        pieces.push_back(reserve(kStep));
        const auto [first, last] = std::minmax_element(
            pieces.begin(), pieces.end(),
            [](const Allocation& left, const Allocation& right) { return left.address < right.address; });
        if (last->address - first->address > kDistance)
            return {first->slice(0, bytes), last->slice(last->size - bytes, bytes)};
    }
    throw CaseSkipped("all addresses that the driver returned lie within 4 GiB");
}

void CaseContext::fill(const Allocation& reserved, std::span<const std::byte> bytes) {
    Uploader uploader(bench_.kernels.shared_device(), 1ull << 20);
    uploader.copy(reserved.slice(0, bytes.size()), bytes);
    uploader.flush();
}

}  // namespace vkmoe::conformance
