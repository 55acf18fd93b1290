// Device's accounts of memory: the budget, and who gives some back when it is short.
#include "base/log.h"
#include "base/units.h"
#include "gpu/device.h"
#include "gpu/vk_struct.h"

#include <algorithm>
#include <cassert>

namespace vkmoe {

/// All heaps as they are now.
std::vector<HeapState> Device::heap_states_locked() const {
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = vk_struct<VkPhysicalDeviceMemoryBudgetPropertiesEXT>(
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT);
    VkPhysicalDeviceMemoryProperties2 memory =
        vk_struct<VkPhysicalDeviceMemoryProperties2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2);
    if (plan_.memory_budget) chain(memory, budget);
    vkGetPhysicalDeviceMemoryProperties2(physical_, &memory);

    std::vector<HeapState> states;
    for (uint32_t i = 0; i < caps_.heaps.size(); ++i) {
        const uint64_t size = caps_.heaps[i].size;
        states.push_back({.size = size,
                          .budget = plan_.memory_budget ? budget.heapBudget[i] : size,
                          .usage = plan_.memory_budget ? budget.heapUsage[i] : 0,
                          .taken = heap_taken_.empty() ? 0 : heap_taken_[i]});
    }
    return states;
}

uint64_t Device::budget_leaves_locked() const {
    if (memory_budget_ == 0) return UINT64_MAX;
    return memory_budget_ - std::min(memory_budget_, general_taken_ + reserved_taken_);
}

uint64_t& Device::taken_locked(MemoryShare share) {
    return share == MemoryShare::kReserved ? reserved_taken_ : general_taken_;
}

uint64_t Device::available_locked(MemoryShare share) const {
    const std::vector<HeapState> states = heap_states_locked();
    std::vector<HeapState> used;
    for (const uint32_t heap : plan_.heaps.device) used.push_back(states[heap]);
    const uint64_t available = std::min(heaps_leave(used, plan_.arena_chunk_size), budget_leaves_locked());
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

bool Device::take_memory(MemoryKind kind, uint32_t heap, uint64_t bytes, MemoryShare share) {
    const std::lock_guard lock(memory_mutex_);
    // Drivers let a process take more than there is, and then page, or kill it when the memory is touched.
    const bool is_device_heap = plan_.heaps.uses(heap);
    if (bytes > (is_device_heap ? heap_leaves(heap_states_locked()[heap]) : caps_.heaps[heap].size))
        return false;
    if (kind == MemoryKind::kDevice) {
        if (bytes > available_locked(share)) return false;
        taken_locked(share) += bytes;
        device_memory_peak_ = std::max(device_memory_peak_, general_taken_ + reserved_taken_);
    }
    heap_taken_.resize(caps_.heaps.size());
    heap_taken_[heap] += bytes;
    return true;
}

void Device::give_back_locked(MemoryKind kind, uint32_t heap, uint64_t bytes, MemoryShare share) {
    assert(bytes <= heap_taken_[heap]);
    heap_taken_[heap] -= bytes;
    if (kind != MemoryKind::kDevice) return;
    assert(bytes <= taken_locked(share));
    taken_locked(share) -= bytes;
}

void Device::give_back_memory(MemoryKind kind, uint32_t heap, uint64_t bytes, MemoryShare share) {
    if (bytes == 0) return;
    const std::lock_guard lock(memory_mutex_);
    give_back_locked(kind, heap, bytes, share);
    if (kind == MemoryKind::kDevice) ++memory_events_.given_back;
}

void Device::note_refused_memory(MemoryKind kind, uint32_t heap, uint64_t bytes, MemoryShare share) {
    const std::lock_guard lock(memory_mutex_);
    give_back_locked(kind, heap, bytes, share);
    if (kind != MemoryKind::kDevice) return;
    taken_at_refusal_ = general_taken_ + reserved_taken_;
    ++memory_events_.refused;
}

bool Device::shrink_memory_budget(const MemoryEvents& before) {
    const std::lock_guard lock(memory_mutex_);
    if (memory_events_.refused == before.refused) return false;
    const uint64_t given = std::max(taken_at_refusal_, general_taken_ + reserved_taken_);
    if (memory_budget_ <= given) return true;
    log_warn("{} refused device memory with {} in use; the VRAM budget of {} is reduced to that amount",
             caps_.name, human_bytes(given), human_bytes(memory_budget_));
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
