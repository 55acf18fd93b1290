#include "base/error.h"
#include "base/log.h"
#include "gpu/arena.h"
#include "gpu/barrier.h"
#include "gpu/timeline.h"
#include "gpu/vk_struct.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

namespace vkmoe {
namespace {

/// A pool with command buffers that are recorded anew each time.
class TransientCommands {
  public:
    TransientCommands(std::shared_ptr<Device> device, VkQueue queue, uint32_t family)
        : device_(std::move(device)), queue_(queue), timeline_(device_) {
        VkCommandPoolCreateInfo info =
            vk_struct<VkCommandPoolCreateInfo>(VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
        info.flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT | VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
        info.queueFamilyIndex = family;
        check_vk(device_->vk().vkCreateCommandPool(device_->handle(), &info, nullptr, &pool_),
                 "create a command pool");
    }
    ~TransientCommands() {
        try {
            timeline_.wait(submitted_);  // commands in flight may not lose their pool
        } catch (const Error& error) {
            log_error("{}", error.what());
        }
        device_->vk().vkDestroyCommandPool(device_->handle(), pool_, nullptr);
    }
    TransientCommands(const TransientCommands&) = delete;
    TransientCommands& operator=(const TransientCommands&) = delete;

    VkCommandBuffer make() const {
        VkCommandBufferAllocateInfo info =
            vk_struct<VkCommandBufferAllocateInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO);
        info.commandPool = pool_;
        info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
        info.commandBufferCount = 1;
        VkCommandBuffer commands = VK_NULL_HANDLE;
        check_vk(device_->vk().vkAllocateCommandBuffers(device_->handle(), &info, &commands),
                 "allocate a command buffer");
        return commands;
    }

    void begin(VkCommandBuffer commands) const {
        VkCommandBufferBeginInfo info =
            vk_struct<VkCommandBufferBeginInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO);
        info.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
        check_vk(device_->vk().vkBeginCommandBuffer(commands, &info), "begin a command buffer");
    }

    uint64_t end_and_submit(VkCommandBuffer commands) {
        check_vk(device_->vk().vkEndCommandBuffer(commands), "end a command buffer");
        VkCommandBufferSubmitInfo buffer =
            vk_struct<VkCommandBufferSubmitInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO);
        buffer.commandBuffer = commands;
        VkSemaphoreSubmitInfo signal =
            vk_struct<VkSemaphoreSubmitInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO);
        signal.semaphore = timeline_.handle();
        signal.value = timeline_.next();
        signal.stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT;
        VkSubmitInfo2 submit = vk_struct<VkSubmitInfo2>(VK_STRUCTURE_TYPE_SUBMIT_INFO_2);
        submit.commandBufferInfoCount = 1;
        submit.pCommandBufferInfos = &buffer;
        submit.signalSemaphoreInfoCount = 1;
        submit.pSignalSemaphoreInfos = &signal;
        device_->submit(queue_, submit);
        submitted_ = signal.value;
        return submitted_;
    }

    void wait(uint64_t value) const { timeline_.wait(value); }

  private:
    std::shared_ptr<Device> device_;
    VkQueue queue_;
    Timeline timeline_;
    uint64_t submitted_ = 0;
    VkCommandPool pool_ = VK_NULL_HANDLE;
};

constexpr uint32_t kSegments = 4;  // of the staging ring: one is filled while the others are copied

}  // namespace

struct Uploader::State {
    struct Segment {
        Allocation memory;
        VkCommandBuffer commands = VK_NULL_HANDLE;
        uint64_t used = 0;
        uint64_t done_at = 0;  // timeline value after which it may be filled again
    };

    std::shared_ptr<Device> device;
    uint64_t segment_bytes;
    // Made when the first copy needs staging: never on unified memory.
    std::unique_ptr<Arena> arena;
    std::unique_ptr<TransientCommands> commands;
    std::array<Segment, kSegments> segments;
    uint32_t current = 0;
    uint64_t last_submission = 0;

    void prepare() {
        if (commands != nullptr) return;
        const DevicePlan& plan = device->plan();
        const bool own_queue = plan.transfer_family.has_value();
        arena = std::make_unique<Arena>(device, MemoryKind::kUpload, "upload staging");
        auto made = std::make_unique<TransientCommands>(
            device, own_queue ? device->transfer_queue() : device->compute_queue(),
            own_queue ? *plan.transfer_family : plan.compute_family);
        for (Segment& segment : segments) {
            segment.memory = arena->allocate(segment_bytes);
            segment.commands = made->make();
        }
        commands = std::move(made);
    }

    void submit_current() {
        Segment& segment = segments[current];
        if (segment.used == 0) return;
        last_submission = commands->end_and_submit(segment.commands);
        segment.done_at = last_submission;
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
        if (segment.used == 0) {
            state.commands->wait(segment.done_at);
            state.commands->begin(segment.commands);
        }
        const uint64_t bytes = std::min<uint64_t>(from.size() - copied, state.segment_bytes - segment.used);
        std::memcpy(segment.memory.mapped + segment.used, from.data() + copied, bytes);
        VkBufferCopy region{};
        region.srcOffset = segment.memory.offset + segment.used;
        region.dstOffset = to.offset + copied;
        region.size = bytes;
        state.device->vk().vkCmdCopyBuffer(segment.commands, segment.memory.buffer, to.buffer, 1, &region);
        copied += bytes;
        segment.used += bytes;
        if (segment.used == state.segment_bytes) state.submit_current();
    }
}

void Uploader::flush() {
    State& state = *state_;
    if (state.commands == nullptr) return;
    state.submit_current();
    state.commands->wait(state.last_submission);
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
    TransientCommands transient(shared, device.compute_queue(), device.plan().compute_family);
    VkCommandBuffer commands = transient.make();
    for (uint64_t at = 0; at < to.size(); at += staging.size) {
        const uint64_t bytes = std::min<uint64_t>(to.size() - at, staging.size);
        transient.begin(commands);
        memory_barrier(device, commands, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, VK_ACCESS_2_MEMORY_WRITE_BIT,
                       VK_PIPELINE_STAGE_2_COPY_BIT, VK_ACCESS_2_TRANSFER_READ_BIT);
        VkBufferCopy region{};
        region.srcOffset = from.offset + at;
        region.dstOffset = staging.offset;
        region.size = bytes;
        device.vk().vkCmdCopyBuffer(commands, from.buffer, staging.buffer, 1, &region);
        memory_barrier(device, commands, VK_PIPELINE_STAGE_2_COPY_BIT, VK_ACCESS_2_TRANSFER_WRITE_BIT,
                       VK_PIPELINE_STAGE_2_HOST_BIT, VK_ACCESS_2_HOST_READ_BIT);
        transient.wait(transient.end_and_submit(commands));
        std::memcpy(to.data() + at, staging.mapped, bytes);
    }
}

}  // namespace vkmoe
