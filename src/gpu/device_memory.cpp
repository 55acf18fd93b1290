// Device's accounts of memory: the budget, and who gives some back when it is short.
#include "base/log.h"
#include "gpu/device.h"
#include "gpu/vk_struct.h"

#include <algorithm>
#include <cassert>

namespace vkmoe {

/// What the driver has left, where vkmoe has taken so much of its device-local memory.
uint64_t Device::heap_leaves(int64_t taken) const {
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = vk_struct<VkPhysicalDeviceMemoryBudgetPropertiesEXT>(
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT);
    VkPhysicalDeviceMemoryProperties2 memory =
        vk_struct<VkPhysicalDeviceMemoryProperties2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2);
    if (plan_.memory_budget) memory.pNext = &budget;
    vkGetPhysicalDeviceMemoryProperties2(physical_, &memory);

    // Without a resizable BAR there is a second, small device-local heap that the host sees; weights go to
    // the large one.
    uint32_t heap = 0;
    uint64_t size = 0;
    for (uint32_t i = 0; i < caps_.heaps.size(); ++i) {
        if (!caps_.heaps[i].device_local || caps_.heaps[i].size <= size) continue;
        heap = i;
        size = caps_.heaps[i].size;
    }
    // Drivers that commit pages on first use count only those; what arenas took is as good as used.
    uint64_t used = static_cast<uint64_t>(std::max<int64_t>(taken, 0));
    uint64_t limit = size;
    if (plan_.memory_budget) {
        limit = budget.heapBudget[heap];
        used = std::max(used, budget.heapUsage[heap]);
    }
    return limit > used ? limit - used : 0;
}

uint64_t Device::available_locked() const {
    const uint64_t heap = heap_leaves(static_cast<int64_t>(device_memory_taken_) + shared_memory_taken_);
    if (memory_budget_ == 0) return heap;
    return std::min(heap, memory_budget_ - std::min(memory_budget_, device_memory_taken_));
}

uint64_t Device::available_device_memory() const {
    const std::lock_guard lock(memory_mutex_);
    return available_locked();
}

void Device::set_memory_budget(uint64_t bytes) {
    const std::lock_guard lock(memory_mutex_);
    memory_budget_ = bytes;
}

uint64_t Device::memory_budget() const {
    const std::lock_guard lock(memory_mutex_);
    return memory_budget_;
}

uint64_t Device::device_memory_taken() const {
    const std::lock_guard lock(memory_mutex_);
    return device_memory_taken_;
}

uint64_t Device::device_memory_peak() const {
    const std::lock_guard lock(memory_mutex_);
    return device_memory_peak_;
}

bool Device::take_device_memory(uint64_t bytes) {
    const std::lock_guard lock(memory_mutex_);
    if (bytes > available_locked()) return false;
    device_memory_taken_ += bytes;
    device_memory_peak_ = std::max(device_memory_peak_, device_memory_taken_);
    return true;
}

void Device::give_back_device_memory(uint64_t bytes) {
    const std::lock_guard lock(memory_mutex_);
    assert(bytes <= device_memory_taken_);
    device_memory_taken_ -= bytes;
}

void Device::note_shared_memory(int64_t bytes) {
    const std::lock_guard lock(memory_mutex_);
    shared_memory_taken_ += bytes;
}

void Device::shrink_memory_budget() {
    const std::lock_guard lock(memory_mutex_);
    if (memory_budget_ <= device_memory_taken_) return;
    log_warn("{} refused device memory at {} MiB taken: the VRAM budget of {} MiB shrinks to that",
             caps_.name, device_memory_taken_ >> 20, memory_budget_ >> 20);
    memory_budget_ = std::max<uint64_t>(device_memory_taken_, 1);
}

void Device::set_reclaimer(Reclaimer reclaimer) {
    const std::lock_guard lock(reclaimer_mutex_);
    reclaimer_ = std::move(reclaimer);
}

uint64_t Device::reclaim_device_memory(uint64_t bytes) {
    if (reclaiming_ == std::this_thread::get_id()) return 0;
    const std::lock_guard lock(reclaimer_mutex_);
    const uint64_t available = available_device_memory();
    if (!reclaimer_) return 0;
    // Zero missing: the driver refused what its figures allow; then only freeing as much may help.
    const uint64_t missing = bytes > available ? bytes - available : bytes;
    struct Mark {
        std::atomic<std::thread::id>& who;
        ~Mark() { who = std::thread::id(); }
    } const mark{reclaiming_};
    reclaiming_ = std::this_thread::get_id();
    return reclaimer_(missing);
}

}  // namespace vkmoe
