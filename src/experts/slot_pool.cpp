#include "experts/slot_pool.h"

#include "base/error.h"
#include "base/log.h"

#include <algorithm>

namespace vkmoe {

namespace {

/// Slots are taken so many bytes at a time: few enough allocations for a large pool, and what the device
/// refuses at the end of it is small.
uint64_t piece_bytes(const Device& device) {
    return std::min<uint64_t>(64ull << 20, device.plan().max_allocation_size / 2);
}

}  // namespace

uint64_t SlotPool::overhead(const Device& device, uint64_t bytes) {
    constexpr uint64_t kOfAPiece = 8192;  // alignment, the arena's tail padding, whole pages
    // A slot that no longer fits a piece opens the next, so that there may be twice as many as bytes suggest.
    return kOfAPiece * (2 + 2 * bytes / piece_bytes(device));
}

SlotPool::SlotPool(const std::shared_ptr<Device>& device, const SlotPlan& plan)
    : arena_(device, MemoryKind::kDevice, "expert slots"),
      token_arena_(device, MemoryKind::kUpload, "expert slots") {
    tokens_ = token_arena_.allocate(Arena::kAlignment);
    arena_.set_share(MemoryShare::kReserved);
    arena_.set_reclaims(false);  // others' need of memory comes before more slots
    Arena measured(device, MemoryKind::kDevice, "expert slots", ArenaMode::kMeasure);
    take_places(measured, plan);
    places_.clear();
    arena_.expect(measured.layout());
    try {
        take_places(arena_, plan);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::kOutOfMemory) throw;
        log_debug("{}", error.what());
    }
}

void SlotPool::take_places(Arena& arena, const SlotPlan& plan) {
    const uint64_t limit = piece_bytes(arena.device());
    for (uint32_t place = 0; place < plan.n_places();) {
        uint32_t end = place;
        uint64_t bytes = 0;
        while (end < plan.n_places() && (end == place || bytes + plan.place_bytes_of(end) <= limit)) {
            bytes += plan.place_bytes_of(end++);
        }
        const Allocation memory = arena.allocate(bytes);
        for (uint64_t at = 0; place < end; ++place) {
            places_.push_back(memory.slice(at, plan.place_bytes_of(place)));
            at += plan.place_bytes_of(place);
        }
    }
}

MemoryView SlotPool::token(uint64_t index) const {
    constexpr uint64_t kBytes = 16;  // whole units, as records are
    return {tokens_.address + index * kBytes, kBytes};
}

}  // namespace vkmoe
