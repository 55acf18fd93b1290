#include "base/error.h"
#include "base/file_reader.h"
#include "base/log.h"
#include "gpu/arena.h"
#include "gpu/copy_queue.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <deque>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace vkmoe {
namespace {

// Of the staging ring: one is filled, the one before is being read into, the others are copied.
constexpr uint32_t kSegments = 4;

struct PendingRead {
    FileReader* reader;
    FileReader::Ticket ticket;
    std::string what;
};

}  // namespace

struct Uploader::State {
    struct Segment {
        Allocation memory;
        std::vector<BufferCopy> copies;
        std::deque<PendingRead> reads;  // into its memory, or past it into memory that is mapped
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

    ~State() {
        for (Segment& segment : segments) {
            while (!segment.reads.empty()) {
                try {
                    wait_for_read(segment);
                } catch (const std::exception&) {
                    // Nobody wants it any more.
                }
            }
        }
    }

    void prepare() {
        if (queue != nullptr) return;
        arena = std::make_unique<Arena>(device, MemoryKind::kUpload, "upload staging");
        for (Segment& segment : segments) segment.memory = arena->allocate(segment_bytes);
        queue = std::make_unique<CopyQueue>(device);
    }

    /// Calls put(segment, done, place) for the pieces of `to` that find place in segments one after the
    /// other. place: where the bytes from `done` on must come, in `to` itself where that is mapped.
    template <typename Put>
    void fill(const Allocation& to, uint64_t bytes, Put put) {
        if (to.mapped == nullptr) prepare();
        for (uint64_t done = 0; done < bytes;) {
            Segment& segment = segments[current];
            const uint64_t n = std::min(bytes - done, segment_bytes - segment.used);
            std::byte* place = to.mapped != nullptr ? to.mapped + done : segment.memory.mapped + segment.used;
            put(segment, done, std::span(place, n));
            if (to.mapped == nullptr)
                segment.copies.push_back({segment.memory.slice(segment.used, n), to.slice(done, n)});
            done += n;
            segment.used += n;
            if (segment.used == segment_bytes) next_segment();
        }
    }

    void next_segment() {
        finish(segments[(current + kSegments - 1) % kSegments]);
        current = (current + 1) % kSegments;
        if (queue != nullptr) queue->wait(segments[current].done_at);
        segments[current].used = 0;
    }

    static void wait_for_read(Segment& segment) {
        const PendingRead read = std::move(segment.reads.front());
        segment.reads.pop_front();  // whether it fails or not
        read.reader->wait(read.ticket, read.what);
    }

    /// All of it is read, and on its way from here.
    void finish(Segment& segment) {
        while (!segment.reads.empty()) wait_for_read(segment);
        if (segment.copies.empty()) return;
        segment.done_at = last_submission = queue->submit(segment.copies);
        segment.copies.clear();
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
    state_->fill(to, from.size(), [&](State::Segment&, uint64_t done, std::span<std::byte> place) {
        std::memcpy(place.data(), from.data() + done, place.size());
    });
}

void Uploader::read(const Allocation& to, FileReader& reader, uint32_t file, uint64_t offset, uint64_t bytes,
                    const std::string& what) {
    assert(bytes <= to.size);
    if (to.buffer == VK_NULL_HANDLE) return;
    state_->fill(to, bytes, [&](State::Segment& segment, uint64_t done, std::span<std::byte> place) {
        const FileRead part{file, offset + done, place};
        // Listed before it begins: a read that nobody waits for would write into freed memory.
        segment.reads.push_back({&reader, 0, what});
        try {
            segment.reads.back().ticket = reader.submit({&part, 1});
        } catch (...) {
            segment.reads.pop_back();
            throw;
        }
    });
}

void Uploader::flush() {
    State& state = *state_;
    for (uint32_t i = 1; i <= kSegments; ++i) state.finish(state.segments[(state.current + i) % kSegments]);
    if (state.queue != nullptr) state.queue->wait(state.last_submission);
    state.segments[state.current].used = 0;
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
