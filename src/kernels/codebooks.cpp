#include "kernels/codebooks.h"

#include "formats/codebooks.h"

namespace vkmoe {

Codebooks::Codebooks(std::shared_ptr<Device> device, ArenaMode mode)
    : arena_(std::move(device), MemoryKind::kDevice, "codebooks", mode) {}

uint64_t Codebooks::address(TensorType type) {
    const std::lock_guard lock(mutex_);
    const auto known = addresses_.find(type);
    if (known != addresses_.end()) return known->second;
    uint64_t address = 0;
    const std::span<const std::byte> grid = codebook(type);
    if (!grid.empty()) {
        const Allocation memory = arena_.allocate(grid.size());
        Uploader uploader(arena_.shared_device(), grid.size());
        uploader.copy(memory, grid);
        uploader.flush();
        address = memory.address;
    }
    addresses_.emplace(type, address);
    return address;
}

}  // namespace vkmoe
