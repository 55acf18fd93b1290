#include "gpu/heaps.h"

#include "gpu/caps.h"

#include <algorithm>
#include <functional>

namespace vkmoe {
namespace {

bool host_sees(const DeviceCaps& caps, uint32_t heap) {
    return std::ranges::any_of(caps.memory_types, [heap](const MemoryTypeCaps& type) {
        return type.heap == heap && type.host_visible && type.host_coherent;
    });
}

uint64_t sum_of_sizes(const DeviceCaps& caps, const std::vector<uint32_t>& heaps) {
    uint64_t sum = 0;
    for (const uint32_t heap : heaps) sum += caps.heaps[heap].size;
    return sum;
}

void sort_by_size(const DeviceCaps& caps, std::vector<uint32_t>& heaps) {
    std::ranges::stable_sort(heaps, std::greater(), [&](uint32_t heap) { return caps.heaps[heap].size; });
}

/// How well a memory type serves a kind: 0 not at all, else the more the better.
uint32_t fitness(const MemoryTypeCaps& type, MemoryKind kind, const HeapPlan& plan) {
    const bool mappable = type.host_visible && type.host_coherent;
    switch (kind) {
        case MemoryKind::kDevice:
            if (!plan.uses(type.heap)) return 0;
            if (plan.unified) return mappable ? (type.host_cached ? 3 : 2) : 0;
            return !type.device_local ? 0 : type.host_visible ? 1 : 2;
        case MemoryKind::kUpload:
            // Off device-local memory: the part of it that the host sees may be small. Uncached is enough to
            // be written.
            if (!mappable) return 0;
            return 1 + (type.device_local ? 0 : 2) + (type.host_cached ? 0 : 1);
        case MemoryKind::kReadback:
            if (!mappable) return 0;
            return 1 + (type.host_cached ? 2 : 0) + (type.device_local ? 0 : 1);
    }
    return 0;
}

}  // namespace

bool HeapPlan::uses(uint32_t heap) const {
    return std::ranges::find(device, heap) != device.end();
}

HeapPlan plan_heaps(const DeviceCaps& caps) {
    std::vector<uint32_t> seen;    // by the host
    std::vector<uint32_t> hidden;  // device-local
    std::vector<uint32_t> local;
    for (uint32_t i = 0; i < caps.heaps.size(); ++i) {
        if (caps.heaps[i].device_local) local.push_back(i);
        if (host_sees(caps, i))
            seen.push_back(i);
        else if (caps.heaps[i].device_local)
            hidden.push_back(i);
    }
    const bool has_only_ram =
        caps.type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU || caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    HeapPlan plan;
    plan.unified = has_only_ram && sum_of_sizes(caps, seen) >= sum_of_sizes(caps, hidden);
    if (plan.unified) {
        plan.device = std::move(seen);
    } else {
        sort_by_size(caps, local);
        for (const uint32_t heap : local)
            if (heap == local.front() || !host_sees(caps, heap)) plan.device.push_back(heap);
    }
    sort_by_size(caps, plan.device);
    for (const uint32_t heap : local)
        if (!plan.uses(heap)) plan.unused.push_back(heap);
    const std::vector<uint32_t> upload = memory_types_for(MemoryKind::kUpload, caps, plan, UINT32_MAX);
    plan.upload_is_device = !upload.empty() && plan.uses(caps.memory_types[upload.front()].heap);
    return plan;
}

std::vector<uint32_t> memory_types_for(MemoryKind kind, const DeviceCaps& caps, const HeapPlan& plan,
                                       uint32_t allowed) {
    std::vector<uint32_t> types;
    for (uint32_t i = 0; i < caps.memory_types.size(); ++i) {
        if ((allowed >> i & 1u) != 0 && fitness(caps.memory_types[i], kind, plan) != 0) types.push_back(i);
    }
    const auto place_of = [&](uint32_t type) {
        return std::ranges::find(plan.device, caps.memory_types[type].heap) - plan.device.begin();
    };
    std::ranges::stable_sort(types, [&](uint32_t left, uint32_t right) {
        const MemoryTypeCaps& a = caps.memory_types[left];
        const MemoryTypeCaps& b = caps.memory_types[right];
        if (kind == MemoryKind::kDevice && a.heap != b.heap) return place_of(left) < place_of(right);
        if (fitness(a, kind, plan) != fitness(b, kind, plan))
            return fitness(a, kind, plan) > fitness(b, kind, plan);
        return caps.heaps[a.heap].size > caps.heaps[b.heap].size;
    });
    // Of one heap the best type is enough.
    const auto same_heap = [&](uint32_t left, uint32_t right) {
        return caps.memory_types[left].heap == caps.memory_types[right].heap;
    };
    types.erase(std::unique(types.begin(), types.end(), same_heap), types.end());
    return types;
}

uint64_t heap_leaves(const HeapState& heap) {
    const uint64_t limit = std::min(heap.budget, heap.size);
    return limit - std::min(limit, std::max(heap.usage, heap.taken));
}

uint64_t heaps_leave(const std::vector<HeapState>& heaps, uint64_t chunk_bytes) {
    uint64_t largest = 0;
    uint64_t sum = 0;
    for (const HeapState& heap : heaps) {
        const uint64_t left = heap_leaves(heap);
        // What is smaller than a chunk may never be used.
        sum += left - std::min(left, chunk_bytes);
        largest = std::max(largest, left);
    }
    // The heap that is filled last is filled to its end.
    return heaps.size() > 1 ? std::max(largest, sum + std::min(largest, chunk_bytes)) : largest;
}

HeapTotals device_heap_totals(const DeviceCaps& caps, const HeapPlan& plan) {
    HeapTotals totals;
    for (const uint32_t heap : plan.device) {
        totals.size += caps.heaps[heap].size;
        totals.budget += caps.heaps[heap].budget;
    }
    return totals;
}

}  // namespace vkmoe
