#include "experts/host_places.h"

#include "base/error.h"
#include "base/faults.h"
#include "base/log.h"
#include "base/units.h"

#include <algorithm>
#include <new>

namespace vkmoe {
namespace {

constexpr uint64_t kMiB = 1ull << 20;
constexpr uint64_t kBlockBytes = 64 * kMiB;  // pinned at once, where records are not larger
/// Drivers hand memory out in pieces of this size at most.
constexpr uint64_t kGranularity = 64ull << 10;
constexpr uint64_t kRecordAlignment = Arena::kAlignment;

uint64_t round_up(uint64_t value, uint64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

uint64_t places_a_block(uint64_t stride) {
    return std::max<uint64_t>(kBlockBytes / stride, 1);
}

/// A block's places with what an arena adds to them.
uint64_t block_cost(uint64_t n, uint64_t stride) {
    return n == 0 ? 0 : round_up(n * stride + Arena::kTailPadding + kRecordAlignment, kGranularity);
}

}  // namespace

uint64_t place_stride(uint64_t record_bytes) {
    return round_up(record_bytes, kRecordAlignment);
}

uint64_t places_cost(uint64_t n, uint64_t stride) {
    const uint64_t a_block = places_a_block(stride);
    return n / a_block * block_cost(a_block, stride) + block_cost(n % a_block, stride);
}

std::vector<HostPlaces::Place> HostPlaces::take(uint64_t n, uint64_t stride) {
    std::vector<Place> places;
    while (places.size() < n) {
        const uint64_t count = std::min(n - places.size(), places_a_block(stride));
        Block block;
        if (!take_pinned(block, count * stride)) {
            try {
                block.pageable = PageBuffer(count * stride + Arena::kTailPadding);
            } catch (const std::bad_alloc&) {
                fail(ErrorCode::kOutOfMemory,
                     "host tier: cannot allocate {} of memory for experts after {}; lower the RAM budget",
                     human_bytes(count * stride), human_bytes(committed_));
            }
            committed_ += count * stride + Arena::kTailPadding;
        }
        for (uint64_t i = 0; i < count; ++i) {
            const uint64_t at = i * stride;
            if (block.pinned)
                places.push_back({block.pinned.mapped + at, block.pinned.slice(at, stride)});
            else
                places.push_back({block.pageable.data() + at, {}});
        }
        blocks_.push_back(std::move(block));
    }
    return places;
}

bool HostPlaces::take_pinned(Block& block, uint64_t bytes) {
    if (!pin_ || refused_) return false;
    auto arena = std::make_unique<Arena>(device_, MemoryKind::kUpload, "experts in host memory");
    arena->expect({{{bytes + Arena::kTailPadding, kRecordAlignment}}});
    try {
        if (fault(FaultPoint::kHostPinning)) fail(ErrorCode::kOutOfMemory, "injected fault");
        block.pinned = arena->allocate(bytes, kRecordAlignment);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::kOutOfMemory) throw;
        refused_ = true;
        log_warn(
            "host tier: pinned memory was refused after {}; the remaining experts go to pageable memory, "
            "which the device cannot read directly ({})",
            human_bytes(pinned_), error.what());
        return false;
    }
    block.arena = std::move(arena);
    committed_ += block.arena->committed_bytes();
    pinned_ += block.arena->committed_bytes();
    return true;
}

}  // namespace vkmoe
