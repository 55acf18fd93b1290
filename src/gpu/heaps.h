#pragma once

#include <cstdint>
#include <vector>

namespace vkmoe {

struct DeviceCaps;

enum class MemoryKind {
    kDevice,    ///< device memory; mapped too where all of it is host-visible (unified memory)
    kUpload,    ///< host-visible and coherent, written by the host, read by the device
    kReadback,  ///< host-visible, cached where possible, written by the device, read by the host
};

/// The heaps that MemoryKind::kDevice comes from. A pure function of the caps.
struct HeapPlan {
    std::vector<uint32_t> device;   ///< in the order in which they are filled
    std::vector<uint32_t> unused;   ///< device-local heaps that are left alone
    bool unified = false;           ///< all of `device` is RAM that the host sees as well
    bool upload_is_device = false;  ///< MemoryKind::kUpload comes from one of `device`

    bool uses(uint32_t heap) const;
};

/// An integrated GPU and a CPU have no memory but RAM, whatever their driver calls device-local: they use all
/// heaps that the host sees, the largest first, so that a carve-out of 256 MiB is no limit. (Where most of
/// the memory is out of the host's sight, they are treated as a card.) A card uses its largest device-local
/// heap, and others that the host does not see. It leaves those that the host sees alone: without a resizable
/// BAR they are a window of 256 MiB, which NVIDIA's driver counts a second time and every driver needs
/// itself.
HeapPlan plan_heaps(const DeviceCaps& caps);

/// The memory types that serve a kind, the best first; of MemoryKind::kDevice one for each heap of the plan.
/// allowed: a bit for each type that the buffer may lie in.
std::vector<uint32_t> memory_types_for(MemoryKind kind, const DeviceCaps& caps, const HeapPlan& plan,
                                       uint32_t allowed);

/// A heap as it is now.
struct HeapState {
    uint64_t size = 0;
    uint64_t budget = 0;  ///< what this process may hold of it, by VK_EXT_memory_budget; else size
    uint64_t usage = 0;   ///< what it holds, by the same; else 0
    uint64_t taken = 0;   ///< what arenas took
};

/// Bytes that arenas may still take of a heap. Drivers that commit pages on first use count only those, so
/// that what arenas took counts too. A budget beyond the heap's size, as some drivers report it, is cut to
/// that.
uint64_t heap_leaves(const HeapState& heap);

/// Of several heaps together: chunks of arena memory lie in one heap each, so that a heap's last part, of up
/// to a chunk, may stay empty.
uint64_t heaps_leave(const std::vector<HeapState>& heaps, uint64_t chunk_bytes);

/// Sizes and budgets of the plan's device heaps, for people.
struct HeapTotals {
    uint64_t size = 0;
    uint64_t budget = 0;
};
HeapTotals device_heap_totals(const DeviceCaps& caps, const HeapPlan& plan);

}  // namespace vkmoe
