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

uint64_t& Device::taken_locked(MemoryShare share) {
    return share == MemoryShare::kReserved ? reserved_taken_ : general_taken_;
}

uint64_t Device::available_locked(MemoryShare share) const {
    const uint64_t taken = general_taken_ + reserved_taken_;
    uint64_t available = heap_leaves(static_cast<int64_t>(taken) + shared_memory_taken_);
    if (memory_budget_ != 0)
        available = std::min(available, memory_budget_ - std::min(memory_budget_, taken));
    if (share == MemoryShare::kReserved) return available;
    const uint64_t kept = memory_reserve_ - std::min(memory_reserve_, reserved_taken_);
    return available - std::min(available, kept);
}

uint64_t Device::available_device_memory(MemoryShare share) const {
    const std::lock_guard lock(memory_mutex_);
    return available_locked(share);
}

void Device::set_memory_reserve(uint64_t bytes) {
    const std::lock_guard lock(memory_mutex_);
    memory_reserve_ = bytes;
}

uint64_t Device::memory_reserve() const {
    const std::lock_guard lock(memory_mutex_);
    return memory_reserve_;
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
    return general_taken_ + reserved_taken_;
}

uint64_t Device::device_memory_taken(MemoryShare share) const {
    const std::lock_guard lock(memory_mutex_);
    return share == MemoryShare::kReserved ? reserved_taken_ : general_taken_;
}

uint64_t Device::device_memory_peak() const {
    const std::lock_guard lock(memory_mutex_);
    return device_memory_peak_;
}

Device::MemoryEvents Device::memory_events() const {
    const std::lock_guard lock(memory_mutex_);
    return memory_events_;
}

bool Device::take_device_memory(uint64_t bytes, MemoryShare share) {
    const std::lock_guard lock(memory_mutex_);
    if (bytes > available_locked(share)) return false;
    taken_locked(share) += bytes;
    device_memory_peak_ = std::max(device_memory_peak_, general_taken_ + reserved_taken_);
    return true;
}

void Device::give_back_device_memory(uint64_t bytes, MemoryShare share) {
    const std::lock_guard lock(memory_mutex_);
    assert(bytes <= taken_locked(share));
    taken_locked(share) -= bytes;
    if (bytes != 0) ++memory_events_.given_back;
}

void Device::note_refused_memory(uint64_t bytes, MemoryShare share) {
    const std::lock_guard lock(memory_mutex_);
    assert(bytes <= taken_locked(share));
    taken_locked(share) -= bytes;
    taken_at_refusal_ = general_taken_ + reserved_taken_;
    ++memory_events_.refused;
}

void Device::note_shared_memory(int64_t bytes) {
    const std::lock_guard lock(memory_mutex_);
    shared_memory_taken_ += bytes;
}

bool Device::shrink_memory_budget(const MemoryEvents& before) {
    const std::lock_guard lock(memory_mutex_);
    if (memory_events_.refused == before.refused) return false;
    const uint64_t given = std::max(taken_at_refusal_, general_taken_ + reserved_taken_);
    if (memory_budget_ <= given) return true;
    log_warn("{} refused device memory with {} MiB taken: the VRAM budget of {} MiB shrinks to that",
             caps_.name, given >> 20, memory_budget_ >> 20);
    memory_budget_ = std::max<uint64_t>(given, 1);
    return true;
}

void Device::set_reclaimer(Reclaimer reclaimer) {
    const std::lock_guard lock(reclaimer_mutex_);
    reclaimer_ = std::move(reclaimer);
}

bool Device::reclaim_device_memory(uint64_t bytes, const MemoryEvents& before) {
    const auto has_changed = [&] { return memory_events().given_back != before.given_back; };
    if (reclaiming_ == std::this_thread::get_id()) return has_changed();
    const std::lock_guard lock(reclaimer_mutex_);
    if (has_changed() || !reclaimer_) return has_changed();
    const uint64_t available = available_device_memory();
    // Zero missing: the driver refused what its figures allow; then only freeing as much may help.
    const uint64_t missing = bytes > available ? bytes - available : bytes;
    struct Mark {
        std::atomic<std::thread::id>& who;
        ~Mark() { who = std::thread::id(); }
    } const mark{reclaiming_};
    reclaiming_ = std::this_thread::get_id();
    reclaimer_(missing);
    return has_changed();
}

}  // namespace vkmoe
