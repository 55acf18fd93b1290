#include "gpu/arena.h"

#include "base/error.h"
#include "base/faults.h"
#include "base/log.h"
#include "base/units.h"
#include "gpu/debug_names.h"
#include "gpu/vk_struct.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cerrno>
#include <span>
#include <utility>

namespace vkmoe {
namespace {

constexpr uint64_t kMiB = 1ull << 20;
constexpr uint64_t kPage = 4096;
constexpr uint64_t kFirstChunk = 4 * kMiB;  // an arena of a few small buffers takes no more
constexpr uint64_t kFirstSparingChunk = 64ull << 10;

uint64_t round_up(uint64_t value, uint64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

const char* kind_name(MemoryKind kind) {
    switch (kind) {
        case MemoryKind::kDevice:
            return "device";
        case MemoryKind::kUpload:
            return "upload";
        case MemoryKind::kReadback:
            return "read-back";
    }
    return "";
}

/// Of a chunk's buffer. families: storage that the result points to.
VkBufferCreateInfo chunk_info(const DevicePlan& plan, uint64_t size, std::array<uint32_t, 2>& families) {
    VkBufferCreateInfo info = vk_struct<VkBufferCreateInfo>(VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO);
    info.size = size;
    info.usage = VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT | VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                 VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
                 VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT;
    if (plan.transfer_family) {
        families = {plan.compute_family, *plan.transfer_family};
        info.sharingMode = VK_SHARING_MODE_CONCURRENT;
        info.queueFamilyIndexCount = static_cast<uint32_t>(families.size());
        info.pQueueFamilyIndices = families.data();
    }
    return info;
}

/// What a chunk of so many bytes takes from the driver.
uint64_t memory_of_chunk(const Device& device, uint64_t size) {
    std::array<uint32_t, 2> families{};
    const VkBufferCreateInfo info = chunk_info(device.plan(), size, families);
    VkDeviceBufferMemoryRequirements question =
        vk_struct<VkDeviceBufferMemoryRequirements>(VK_STRUCTURE_TYPE_DEVICE_BUFFER_MEMORY_REQUIREMENTS);
    question.pCreateInfo = &info;
    VkMemoryRequirements2 needs = vk_struct<VkMemoryRequirements2>(VK_STRUCTURE_TYPE_MEMORY_REQUIREMENTS_2);
    device.vk().vkGetDeviceBufferMemoryRequirements(device.handle(), &question, &needs);
    return needs.memoryRequirements.size;
}

/// Whether all of a driver's mapping can be touched. lavapipe's memory is a file: within a limit on the
/// address space it maps null, and within one on the size of files its last pages raise SIGBUS, each with
/// VK_SUCCESS.
bool is_backed(void* mapped, uint64_t bytes) {
    if (mapped == nullptr) return false;
    const uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    const uint64_t last = (reinterpret_cast<uintptr_t>(mapped) + bytes - 1) / page * page;
    // EINVAL: the kernel is too old to tell.
    return ::madvise(reinterpret_cast<void*>(last), page, MADV_POPULATE_WRITE) == 0 || errno == EINVAL;
}

/// The size of a chunk for `bytes` from an aligned address on: chunks may begin at less.
uint64_t chunk_size(const DevicePlan& plan, uint64_t bytes, uint64_t alignment) {
    return std::min(round_up(bytes + alignment, kPage), plan.max_allocation_size);
}

}  // namespace

Arena::Arena(std::shared_ptr<Device> device, MemoryKind kind, std::string name, ArenaMode mode)
    : device_(std::move(device)), kind_(kind), name_(std::move(name)), mode_(mode) {}

Arena::~Arena() {
    if (!device_->may_free()) return;
    for (const Chunk& chunk : chunks_) free_chunk(chunk);
}

uint64_t Arena::committed_bytes() const {
    if (!measures()) return committed_;
    uint64_t bytes = 0;
    for (const Chunk& chunk : chunks_)
        bytes += memory_of_chunk(*device_, chunk_size(device_->plan(), chunk.used, chunk.alignment));
    return bytes;
}

ArenaLayout Arena::layout() const {
    ArenaLayout layout;
    for (const Chunk& chunk : chunks_) layout.chunks.push_back({chunk.used, chunk.alignment});
    return layout;
}

void Arena::expect(ArenaLayout layout) {
    expected_ = std::move(layout);
    next_expected_ = 0;
}

Allocation Arena::allocate(uint64_t bytes, uint64_t alignment) {
    assert(std::has_single_bit(alignment));
    alignment = std::max(alignment, kAlignment);
    const uint64_t limit = device_->plan().max_allocation_size;
    if (bytes > limit || limit - bytes < alignment + kTailPadding)
        fail(ErrorCode::kOutOfMemory,
             "{}: cannot allocate {} at once because device '{}' allows at most {} per allocation; use a "
             "smaller context or model, or another device",
             name_, human_bytes(bytes), device_->caps().name, human_bytes(limit));
    bytes = std::max(bytes, uint64_t{1});

    // Addresses are aligned, not offsets: a chunk may start at less than what is asked for.
    auto start = [alignment](const Chunk& chunk) {
        return round_up(chunk.address + chunk.used, alignment) - chunk.address;
    };
    Chunk* place = nullptr;
    for (Chunk& chunk : chunks_) {
        if (start(chunk) + bytes + kTailPadding > chunk.size) continue;
        place = &chunk;
        break;
    }
    if (place == nullptr) place = &add_chunk(bytes + kTailPadding, alignment);

    const uint64_t offset = start(*place);
    place->used = offset + bytes + kTailPadding;
    place->alignment = std::max(place->alignment, alignment);
    Allocation piece;
    piece.address = place->address + offset;
    piece.size = bytes;
    piece.mapped = place->mapped != nullptr ? place->mapped + offset : nullptr;
    piece.buffer = place->buffer;
    piece.offset = offset;
    return piece;
}

/// A chunk that has room for `bytes` from an aligned address on.
Arena::Chunk& Arena::add_chunk(uint64_t bytes, uint64_t alignment) {
    if (measures()) return add_measured_chunk(bytes);
    const DevicePlan& plan = device_->plan();
    if (next_expected_ < expected_.chunks.size() && bytes <= expected_.chunks[next_expected_].bytes) {
        const ArenaLayout::Chunk& expected = expected_.chunks[next_expected_++];
        make_chunk_or_fail(chunk_size(plan, expected.bytes, expected.alignment));
        // To the byte: a piece that did not fit when it was measured must not fit now, or others would not.
        Chunk& chunk = chunks_.back();
        chunk.used = round_up(chunk.address, expected.alignment) - chunk.address;
        chunk.size = chunk.used + expected.bytes;
        return chunk;
    }
    // What is larger than half of a usual chunk stands alone, so that no large tail is lost; so does what
    // fits no other way.
    const uint64_t usual = usual_chunk_size();
    if (bytes + alignment > usual / 2 || make_chunk(usual) != ChunkResult::kMade)
        make_chunk_or_fail(chunk_size(plan, bytes, alignment));
    return chunks_.back();
}

/// Large enough that what is used of it tells the size that is needed.
Arena::Chunk& Arena::add_measured_chunk(uint64_t bytes) {
    const DevicePlan& plan = device_->plan();
    Chunk chunk;
    chunk.address = (chunks_.size() + 1) << 40u;  // apart from each other, and aligned to anything
    chunk.size = std::max(bytes, std::min(plan.arena_chunk_size, plan.max_allocation_size / 2));
    chunks_.push_back(chunk);
    return chunks_.back();
}

/// Chunks grow with the arena, up to the plan's size: fast where memory is plenty, by little within a budget.
uint64_t Arena::usual_chunk_size() const {
    const bool sparing = kind_ == MemoryKind::kDevice && device_->memory_budget() != 0;
    const uint64_t size = sparing ? std::max(kFirstSparingChunk, round_up(committed_ / 16, kPage))
                                  : std::max(kFirstChunk, committed_);
    return std::min(device_->plan().arena_chunk_size, size);
}

Arena::ChunkResult Arena::make_chunk(uint64_t size) {
    device_->require_working();
    Chunk chunk;
    chunk.size = size;
    const VkResult result = fill_chunk(chunk);
    if (result == VK_SUCCESS) {
        committed_ += chunk.taken;
        chunks_.push_back(chunk);
        return ChunkResult::kMade;
    }
    const uint64_t taken = std::exchange(chunk.taken, 0);
    free_chunk(chunk);
    if (taken != 0) device_->note_refused_memory(kind_, chunk.heap, taken, share_);
    if (result != VK_ERROR_OUT_OF_DEVICE_MEMORY && result != VK_ERROR_OUT_OF_HOST_MEMORY)
        device_->check(result, "allocate memory");
    return chunk.is_refused || taken != 0 ? ChunkResult::kRefused : ChunkResult::kNoRoom;
}

void Arena::make_chunk_or_fail(uint64_t size) {
    const bool may_reclaim = kind_ == MemoryKind::kDevice && reclaims_;
    for (bool again = true; again;) {  // until nobody gives anything back
        const Device::MemoryEvents before = device_->memory_events();
        const ChunkResult result = make_chunk(size);
        if (result == ChunkResult::kMade) return;
        if (!may_reclaim) break;
        if (result == ChunkResult::kRefused) device_->shrink_memory_budget(before);
        again = device_->reclaim_device_memory(memory_of_chunk(*device_, size), before);
        // What another thread had set aside for a moment, and was refused, may have been in the way.
        again =
            again || (result == ChunkResult::kNoRoom && device_->memory_events().refused != before.refused);
    }
    const uint64_t budget = kind_ == MemoryKind::kDevice ? device_->memory_budget() : 0;
    fail(
        ErrorCode::kOutOfMemory,
        "{}: device '{}' cannot allocate {} of {} memory ({} of device memory free{}, {} allocated here); {}",
        name_, device_->caps().name, human_bytes(size), kind_name(kind_),
        human_bytes(device_->available_device_memory(share_)),
        budget != 0 ? fmt::format(" within the budget of {}", human_bytes(budget)) : "",
        human_bytes(committed_),
        budget != 0 ? "raise the VRAM budget, or use a smaller model or context"
                    : "close other programs, or use a smaller model or context");
}

/// Makes the buffer and memory of chunk.size bytes. On failure the chunk holds what was made until then.
VkResult Arena::fill_chunk(Chunk& chunk) const {
    const DevicePlan& plan = device_->plan();
    const VolkDeviceTable& vk = device_->vk();
    std::array<uint32_t, 2> families{};
    const VkBufferCreateInfo info = chunk_info(plan, chunk.size, families);
    VkResult result = vk.vkCreateBuffer(device_->handle(), &info, nullptr, &chunk.buffer);
    if (result != VK_SUCCESS) return result;
    VkMemoryRequirements needs{};
    vk.vkGetBufferMemoryRequirements(device_->handle(), chunk.buffer, &needs);

    const std::vector<uint32_t> types =
        memory_types_for(kind_, device_->caps(), plan.heaps, needs.memoryTypeBits);
    if (types.empty()) {
        vk.vkDestroyBuffer(device_->handle(), std::exchange(chunk.buffer, VK_NULL_HANDLE), nullptr);
        fail(ErrorCode::kUnsupported, "device '{}' has no {} memory for storage buffers; update its driver",
             device_->caps().name, kind_name(kind_));
    }
    // Only device memory goes on to another heap: uploads must not fill the memory of cards.
    const size_t n_tried = kind_ == MemoryKind::kDevice ? types.size() : 1;
    for (const uint32_t type : std::span(types).first(n_tried)) {
        result = take_memory(chunk, needs.size, type);
        if (result != VK_ERROR_OUT_OF_DEVICE_MEMORY && result != VK_ERROR_OUT_OF_HOST_MEMORY) break;
    }
    if (result != VK_SUCCESS) return result;
    result = vk.vkBindBufferMemory(device_->handle(), chunk.buffer, chunk.memory, 0);
    if (result != VK_SUCCESS) return result;

    if (kind_ != MemoryKind::kDevice || plan.unified_memory) {
        void* mapped = nullptr;
        result = vk.vkMapMemory(device_->handle(), chunk.memory, 0, VK_WHOLE_SIZE, 0, &mapped);
        if (result != VK_SUCCESS) return result;
        if (device_->caps().type == VK_PHYSICAL_DEVICE_TYPE_CPU && !is_backed(mapped, needs.size)) {
            log_warn(
                "device '{}' gave {} of memory that cannot be used; is the size of files or the address "
                "space limited (ulimit -f, -v)?",
                device_->caps().name, human_bytes(needs.size));
            return VK_ERROR_OUT_OF_HOST_MEMORY;
        }
        chunk.mapped = static_cast<std::byte*>(mapped);
    }
    VkBufferDeviceAddressInfo address =
        vk_struct<VkBufferDeviceAddressInfo>(VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO);
    address.buffer = chunk.buffer;
    chunk.address = vk.vkGetBufferDeviceAddress(device_->handle(), &address);
    name_object(*device_, VK_OBJECT_TYPE_BUFFER, object_id(chunk.buffer), name_);
    return VK_SUCCESS;
}

/// Takes a chunk's memory of one type, or nothing.
VkResult Arena::take_memory(Chunk& chunk, uint64_t bytes, uint32_t type) const {
    const uint32_t heap = device_->caps().memory_types[type].heap;
    if (!device_->take_memory(kind_, heap, bytes, share_)) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    VkMemoryAllocateFlagsInfo flags =
        vk_struct<VkMemoryAllocateFlagsInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO);
    flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
    VkMemoryAllocateInfo allocate = vk_struct<VkMemoryAllocateInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO);
    allocate.pNext = &flags;
    allocate.allocationSize = bytes;
    allocate.memoryTypeIndex = type;
    const bool is_faulty = kind_ == MemoryKind::kDevice && fault(FaultPoint::kDeviceAllocation);
    const VkResult result =
        is_faulty ? VK_ERROR_OUT_OF_DEVICE_MEMORY
                  : device_->vk().vkAllocateMemory(device_->handle(), &allocate, nullptr, &chunk.memory);
    if (result != VK_SUCCESS) {
        device_->note_refused_memory(kind_, heap, bytes, share_);
        chunk.is_refused = true;
        return result;
    }
    chunk.heap = heap;
    chunk.taken = bytes;
    return VK_SUCCESS;
}

void Arena::free_chunk(const Chunk& chunk) const {
    const VolkDeviceTable& vk = device_->vk();
    vk.vkDestroyBuffer(device_->handle(), chunk.buffer, nullptr);
    vk.vkFreeMemory(device_->handle(), chunk.memory, nullptr);
    device_->give_back_memory(kind_, chunk.heap, chunk.taken, share_);
}

}  // namespace vkmoe
