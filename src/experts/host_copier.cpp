#include "experts/host_copier.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <thread>

namespace vkmoe {

namespace {

/// What a thread copies at once: little enough to share a record, much beside taking the lock.
constexpr uint64_t kPieceBytes = 256 << 10;
/// Beside whoever waits. Few cores are enough to use up the bandwidth of memory.
constexpr unsigned kMostWorkers = 3;

}  // namespace

HostCopier::HostCopier(std::shared_ptr<Device> device) : device_(std::move(device)) {
    const unsigned n = std::clamp(std::thread::hardware_concurrency() / 2, 1u, kMostWorkers);
    workers_.start(
        "copy experts", n, [this](size_t) { work(); }, [this] { stop(); });
}

HostCopier::~HostCopier() {
    stop();
    workers_.join();
}

void HostCopier::stop() {
    {
        const std::lock_guard lock(mutex_);
        stops_ = true;
    }
    work_came_.notify_all();
}

uint64_t HostCopier::submit(std::span<const RecordMove> moves, std::span<const TimelinePoint> waits) {
    wait_for(*device_, waits);
    wait(submitted_);
    const std::lock_guard lock(mutex_);
    size_t n_pieces = 0;
    for (const RecordMove& move : moves) n_pieces += (move.to.size + kPieceBytes - 1) / kPieceBytes;
    pieces_.reserve(n_pieces);  // or nothing is queued
    for (const RecordMove& move : moves) {
        assert(move.to.mapped != nullptr);
        for (uint64_t at = 0; at < move.to.size; at += kPieceBytes) {
            pieces_.push_back({.from = move.from.data + at,
                               .to = move.to.mapped + at,
                               .bytes = std::min(kPieceBytes, move.to.size - at)});
        }
    }
    n_left_ = pieces_.size();
    work_came_.notify_all();
    return ++submitted_;
}

std::vector<TimelinePoint> HostCopier::arrival(uint64_t value) {
    wait(value);
    return {};
}

void HostCopier::wait(uint64_t value) {
    std::unique_lock lock(mutex_);
    assert(value <= submitted_);
    while (value == submitted_ && n_left_ > 0) {
        if (!copy_piece(lock)) all_copied_.wait(lock);
    }
}

uint64_t HostCopier::reached() const {
    const std::lock_guard lock(mutex_);
    return n_left_ == 0 ? submitted_ : submitted_ - 1;
}

bool HostCopier::copy_piece(std::unique_lock<std::mutex>& lock) {
    if (pieces_.empty()) return false;
    const Piece piece = pieces_.back();
    pieces_.pop_back();
    lock.unlock();
    std::memcpy(piece.to, piece.from, piece.bytes);
    lock.lock();
    if (--n_left_ == 0) all_copied_.notify_all();
    return true;
}

void HostCopier::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        while (copy_piece(lock)) {
        }
        if (stops_) return;
        work_came_.wait(lock);
    }
}

}  // namespace vkmoe
