#include "gpu/arena.h"

#include "base/error.h"
#include "base/faults.h"
#include "gpu/debug_names.h"
#include "gpu/vk_struct.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
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

/// How well a memory type serves a kind: 0 not at all, else the more the better.
uint32_t fitness(const MemoryTypeCaps& type, MemoryKind kind, bool unified) {
    const bool mappable = type.host_visible && type.host_coherent;
    switch (kind) {
        case MemoryKind::kDevice:
            if (!type.device_local) return 0;
            if (unified) return mappable ? (type.host_cached ? 3 : 2) : 1;
            return type.host_visible ? 1 : 2;
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

/// The best memory type among those allowed; of equals the one on the larger heap, then the first.
uint32_t pick_memory_type(const Device& device, MemoryKind kind, uint32_t allowed) {
    const DeviceCaps& caps = device.caps();
    uint32_t best = VK_MAX_MEMORY_TYPES;
    uint32_t best_fitness = 0;
    uint64_t best_heap = 0;
    for (uint32_t i = 0; i < caps.memory_types.size(); ++i) {
        if ((allowed >> i & 1u) == 0) continue;
        const uint32_t fit = fitness(caps.memory_types[i], kind, device.plan().unified_memory);
        const uint64_t heap = caps.heaps[caps.memory_types[i].heap].size;
        if (fit > best_fitness || (fit == best_fitness && fit != 0 && heap > best_heap)) {
            best = i;
            best_fitness = fit;
            best_heap = heap;
        }
    }
    if (best == VK_MAX_MEMORY_TYPES)
        fail(ErrorCode::kUnsupported, "device '{}' has no {} memory for storage buffers; update its driver",
             caps.name, kind_name(kind));
    return best;
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
             "{}: one piece of {} MiB was asked for, but device '{}' gives at most {} MiB at once; use a "
             "smaller "
             "context or model, or another device",
             name_, bytes / kMiB, device_->caps().name, limit / kMiB);
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
    const uint64_t refused = kind_ == MemoryKind::kDevice ? std::exchange(chunk.taken, 0) : 0;
    free_chunk(chunk);
    if (refused != 0) device_->note_refused_memory(refused, share_);
    if (result != VK_ERROR_OUT_OF_DEVICE_MEMORY && result != VK_ERROR_OUT_OF_HOST_MEMORY)
        device_->check(result, "allocate memory");
    return refused != 0 ? ChunkResult::kRefused : ChunkResult::kNoRoom;
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
    fail(ErrorCode::kOutOfMemory,
         "{}: device '{}' has no {:.1f} MiB of {} memory left ({} MiB of device memory available{}, {} MiB "
         "taken here); {}",
         name_, device_->caps().name, static_cast<double>(size) / static_cast<double>(kMiB), kind_name(kind_),
         device_->available_device_memory(share_) / kMiB,
         budget != 0 ? fmt::format(" within the budget of {} MiB", budget / kMiB) : "", committed_ / kMiB,
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

    const uint32_t type = pick_memory_type(*device_, kind_, needs.memoryTypeBits);
    const MemoryTypeCaps& memory = device_->caps().memory_types[type];
    // Drivers let a process take more than there is, and then page, or kill it when the memory is touched.
    if (kind_ == MemoryKind::kDevice) {
        if (!device_->take_device_memory(needs.size, share_)) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
        chunk.taken = needs.size;
        if (fault(FaultPoint::kDeviceAllocation)) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    } else {
        if (needs.size > device_->caps().heaps[memory.heap].size) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
        chunk.shared = memory.device_local;
        if (chunk.shared) device_->note_shared_memory(static_cast<int64_t>(needs.size));
    }
    chunk.taken = needs.size;

    VkMemoryAllocateFlagsInfo flags =
        vk_struct<VkMemoryAllocateFlagsInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO);
    flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
    VkMemoryAllocateInfo allocate = vk_struct<VkMemoryAllocateInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO);
    allocate.pNext = &flags;
    allocate.allocationSize = needs.size;
    allocate.memoryTypeIndex = type;
    result = vk.vkAllocateMemory(device_->handle(), &allocate, nullptr, &chunk.memory);
    if (result != VK_SUCCESS) return result;
    result = vk.vkBindBufferMemory(device_->handle(), chunk.buffer, chunk.memory, 0);
    if (result != VK_SUCCESS) return result;

    if (kind_ != MemoryKind::kDevice ||
        (plan.unified_memory && memory.host_visible && memory.host_coherent)) {
        void* mapped = nullptr;
        result = vk.vkMapMemory(device_->handle(), chunk.memory, 0, VK_WHOLE_SIZE, 0, &mapped);
        if (result != VK_SUCCESS) return result;
        chunk.mapped = static_cast<std::byte*>(mapped);
    }
    VkBufferDeviceAddressInfo address =
        vk_struct<VkBufferDeviceAddressInfo>(VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO);
    address.buffer = chunk.buffer;
    chunk.address = vk.vkGetBufferDeviceAddress(device_->handle(), &address);
    name_object(*device_, VK_OBJECT_TYPE_BUFFER, object_id(chunk.buffer), name_);
    return VK_SUCCESS;
}

void Arena::free_chunk(const Chunk& chunk) const {
    const VolkDeviceTable& vk = device_->vk();
    vk.vkDestroyBuffer(device_->handle(), chunk.buffer, nullptr);
    vk.vkFreeMemory(device_->handle(), chunk.memory, nullptr);
    if (kind_ == MemoryKind::kDevice) {
        device_->give_back_device_memory(chunk.taken, share_);
    } else if (chunk.shared) {
        device_->note_shared_memory(-static_cast<int64_t>(chunk.taken));
    }
}

}  // namespace vkmoe
