#include "kernels/codebooks.h"

#include "formats/codebooks.h"

namespace vkmoe {

Codebooks::Codebooks(std::shared_ptr<Device> device, ArenaMode mode)
    : arena_(std::move(device), MemoryKind::kDevice, "codebooks", mode) {}

Allocation Codebooks::memory(TensorType type) {
    const std::lock_guard lock(mutex_);
    const auto known = memory_.find(type);
    if (known != memory_.end()) return known->second;
    Allocation memory;
    const std::span<const std::byte> grid = codebook(type);
    if (!grid.empty()) {
        memory = arena_.allocate(grid.size());
        Uploader uploader(arena_.shared_device(), grid.size());
        uploader.copy(memory, grid);
        uploader.flush();
    }
    memory_.emplace(type, memory);
    return memory;
}

}  // namespace vkmoe
