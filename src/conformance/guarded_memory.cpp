#include "conformance/guarded_memory.h"

#include "conformance/check.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace vkmoe::conformance {
namespace {

constexpr uint64_t kGuardBytes = Arena::kAlignment;  // keeps the contents aligned like any allocation
constexpr uint64_t kSlabBytes = 8ull << 20;
constexpr uint64_t kStagingBytes = 4ull << 20;
constexpr std::byte kPoison{0xFF};
constexpr uint32_t kInputGuard = 0xFFFFA5A5;  // NaN
constexpr uint32_t kOutputGuard = 0xA5A5A5A5;

uint64_t padded(uint64_t bytes) {
    return (bytes + kGuardBytes - 1) / kGuardBytes * kGuardBytes;
}

void write_guard(std::byte* at, uint64_t bytes, bool is_input) {
    const uint32_t word = is_input ? kInputGuard : kOutputGuard;
    for (uint64_t i = 0; i < bytes; i += sizeof word)
        std::memcpy(at + i, &word, std::min<uint64_t>(sizeof word, bytes - i));
}

/// Offset of the first byte of a guard band that was written over, or -1.
int64_t first_damage(std::span<const std::byte> band, bool is_input) {
    std::vector<std::byte> intact(band.size());
    write_guard(intact.data(), intact.size(), is_input);
    const auto difference = std::mismatch(intact.begin(), intact.end(), band.begin());
    return difference.first == intact.end() ? -1 : difference.first - intact.begin();
}

}  // namespace

GuardedMemory::GuardedMemory(std::shared_ptr<Device> device)
    : device_(std::move(device)),
      arena_(std::make_unique<Arena>(device_, MemoryKind::kDevice, "kernels under test")),
      uploader_(device_, kStagingBytes) {}

GuardedMemory::Slab& GuardedMemory::slab_for(uint64_t bytes) {
    if (slabs_.empty() || slabs_.back().image.size() + bytes > slabs_.back().memory.size) {
        Slab slab;
        slab.memory = arena_->allocate(std::max(kSlabBytes, bytes));
        slabs_.push_back(std::move(slab));
    }
    return slabs_.back();
}

Allocation GuardedMemory::add(std::span<const std::byte> contents, uint64_t size, bool is_input) {
    // The band behind begins right where the contents end.
    const uint64_t band = padded(size) - size + kGuardBytes;
    Slab& slab = slab_for(kGuardBytes + size + band);
    const uint64_t start = slab.image.size();
    slab.image.resize(start + kGuardBytes + size + band, kPoison);
    std::byte* at = slab.image.data() + start;
    write_guard(at, kGuardBytes, is_input);
    std::copy(contents.begin(), contents.end(), at + kGuardBytes);
    write_guard(at + kGuardBytes + size, band, is_input);
    buffers_.push_back({slabs_.size() - 1, start + kGuardBytes, size, is_input});
    return slab.memory.slice(start + kGuardBytes, size);
}

Allocation GuardedMemory::add_input(std::span<const std::byte> contents) {
    return add(contents, contents.size(), true);
}

Allocation GuardedMemory::add_output(uint64_t bytes) {
    return add({}, bytes, false);
}

void GuardedMemory::upload() {
    for (Slab& slab : slabs_) {
        const uint64_t size = slab.image.size() - slab.uploaded;
        if (size == 0) continue;
        uploader_.copy(slab.memory.slice(slab.uploaded, size), std::span(slab.image).subspan(slab.uploaded));
        slab.uploaded = slab.image.size();
    }
    uploader_.flush();
}

void GuardedMemory::write(const Allocation& output, std::span<const std::byte> bytes) {
    assert(bytes.size() <= output.size);
    upload();
    uploader_.copy(output.slice(0, bytes.size()), bytes);
    uploader_.flush();
}

void GuardedMemory::read(const Allocation& output, std::span<std::byte> bytes) const {
    download(*device_, output.slice(0, bytes.size()), bytes);
}

void GuardedMemory::check() {
    upload();
    for (size_t s = 0; s < slabs_.size(); ++s) {
        const Slab& slab = slabs_[s];
        downloaded_.resize(slab.image.size());
        if (downloaded_.empty()) continue;
        download(*device_, slab.memory.slice(0, downloaded_.size()), downloaded_);
        for (size_t b = 0; b < buffers_.size(); ++b)
            if (buffers_[b].slab == s) check_buffer(b, downloaded_);
    }
}

void GuardedMemory::check_buffer(size_t index, std::span<const std::byte> actual) const {
    const Buffer& buffer = buffers_[index];
    const std::string what = fmt::format("buffer {} of the case ({}, {} bytes)", index,
                                         buffer.is_input ? "input" : "output", buffer.size);
    const int64_t before =
        first_damage(actual.subspan(buffer.at - kGuardBytes, kGuardBytes), buffer.is_input);
    require(before < 0, "{} was written {} bytes before its start", what,
            static_cast<int64_t>(kGuardBytes) - before);
    const uint64_t end = buffer.at + buffer.size;
    const int64_t after =
        first_damage(actual.subspan(end, padded(buffer.size) - buffer.size + kGuardBytes), buffer.is_input);
    require(after < 0, "{} was written {} bytes past its end", what, after);
    if (!buffer.is_input) return;
    const std::span<const std::byte> contents =
        std::span(slabs_[buffer.slab].image).subspan(buffer.at, buffer.size);
    const auto changed = std::mismatch(contents.begin(), contents.end(),
                                       actual.begin() + static_cast<std::ptrdiff_t>(buffer.at));
    require(changed.first == contents.end(), "{} was written at byte {}", what,
            changed.first - contents.begin());
}

std::vector<Allocation> GuardedMemory::buffers() const {
    std::vector<Allocation> all;
    for (const Buffer& buffer : buffers_)
        all.push_back(slabs_[buffer.slab].memory.slice(buffer.at, buffer.size));
    return all;
}

void GuardedMemory::clear() {
    buffers_.clear();
    if (slabs_.size() > 1) {
        // What a large case took goes back to the driver.
        slabs_.clear();
        arena_ = std::make_unique<Arena>(device_, MemoryKind::kDevice, "kernels under test");
        return;
    }
    for (Slab& slab : slabs_) {
        slab.image.clear();
        slab.uploaded = 0;
    }
}

}  // namespace vkmoe::conformance
