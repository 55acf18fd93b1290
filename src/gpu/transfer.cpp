#include "gpu/arena.h"
#include "gpu/copy_queue.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

namespace vkmoe {
namespace {

constexpr uint32_t kSegments = 4;  // of the staging ring: one is filled while the others are copied

}  // namespace

struct Uploader::State {
    struct Segment {
        Allocation memory;
        std::vector<BufferCopy> copies;
        uint64_t used = 0;
        uint64_t done_at = 0;  // timeline value after which it may be filled again
    };

    std::shared_ptr<Device> device;
    uint64_t segment_bytes;
    // Made when the first copy needs staging: never on unified memory.
    std::unique_ptr<Arena> arena;
    std::unique_ptr<CopyQueue> queue;
    std::array<Segment, kSegments> segments;
    uint32_t current = 0;
    uint64_t last_submission = 0;

    void prepare() {
        if (queue != nullptr) return;
        arena = std::make_unique<Arena>(device, MemoryKind::kUpload, "upload staging");
        for (Segment& segment : segments) segment.memory = arena->allocate(segment_bytes);
        queue = std::make_unique<CopyQueue>(device);
    }

    void submit_current() {
        Segment& segment = segments[current];
        if (segment.used == 0) return;
        last_submission = queue->submit(segment.copies);
        segment.done_at = last_submission;
        segment.copies.clear();
        segment.used = 0;
        current = (current + 1) % kSegments;
    }
};

Uploader::Uploader(std::shared_ptr<Device> device, uint64_t staging_bytes)
    : state_(std::make_unique<State>()) {
    state_->device = std::move(device);
    state_->segment_bytes = std::max<uint64_t>(staging_bytes / kSegments / 4096 * 4096, 4096);
}

Uploader::~Uploader() = default;

void Uploader::copy(const Allocation& to, std::span<const std::byte> from) {
    assert(from.size() <= to.size);
    if (to.mapped != nullptr) {
        std::memcpy(to.mapped, from.data(), from.size());
        return;
    }
    if (to.buffer == VK_NULL_HANDLE) return;  // measured only
    State& state = *state_;
    state.prepare();
    uint64_t copied = 0;
    while (copied < from.size()) {
        State::Segment& segment = state.segments[state.current];
        if (segment.used == 0) state.queue->wait(segment.done_at);
        const uint64_t bytes = std::min<uint64_t>(from.size() - copied, state.segment_bytes - segment.used);
        std::memcpy(segment.memory.mapped + segment.used, from.data() + copied, bytes);
        segment.copies.push_back({segment.memory.slice(segment.used, bytes), to.slice(copied, bytes)});
        copied += bytes;
        segment.used += bytes;
        if (segment.used == state.segment_bytes) state.submit_current();
    }
}

void Uploader::flush() {
    State& state = *state_;
    if (state.queue == nullptr) return;
    state.submit_current();
    state.queue->wait(state.last_submission);
}

void download(Device& device, const Allocation& from, std::span<std::byte> to) {
    assert(to.size() <= from.size);
    if (to.empty()) return;
    if (from.mapped != nullptr) {
        device.wait_idle();
        std::memcpy(to.data(), from.mapped, to.size());
        return;
    }
    constexpr uint64_t kPiece = 64ull << 20;  // bytes of host memory held for it
    const std::shared_ptr<Device> shared = device.shared_from_this();
    Arena arena(shared, MemoryKind::kReadback, "read-back");
    const Allocation staging = arena.allocate(std::min<uint64_t>(to.size(), kPiece));
    CopyQueue queue(shared, CopyQueue::Queue::kCompute);  // after all that was computed
    for (uint64_t at = 0; at < to.size(); at += staging.size) {
        const uint64_t bytes = std::min<uint64_t>(to.size() - at, staging.size);
        const BufferCopy copy{from.slice(at, bytes), staging.slice(0, bytes)};
        queue.wait(queue.submit({&copy, 1}));
        std::memcpy(to.data() + at, staging.mapped, bytes);
    }
}

}  // namespace vkmoe
