#include "gpu/copy_queue.h"

#include "gpu/barrier.h"
#include "gpu/vk_struct.h"

#include <cassert>

namespace vkmoe {

CopyQueue::CopyQueue(std::shared_ptr<Device> device, Queue queue)
    : device_(std::move(device)), queue_(device_->compute_queue()), timeline_(device_) {
    const DevicePlan& plan = device_->plan();
    uint32_t family = plan.compute_family;
    if (queue == Queue::kTransfer && plan.transfer_family) {
        family = *plan.transfer_family;
        queue_ = device_->transfer_queue();
    }
    const VolkDeviceTable& vk = device_->vk();
    auto pool = vk_struct<VkCommandPoolCreateInfo>(VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
    pool.flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT | VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
    pool.queueFamilyIndex = family;
    check_vk(vk.vkCreateCommandPool(device_->handle(), &pool, nullptr, &pool_), "create a command pool");
    auto allocate = vk_struct<VkCommandBufferAllocateInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO);
    allocate.commandPool = pool_;
    allocate.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    allocate.commandBufferCount = kBatches;
    std::array<VkCommandBuffer, kBatches> commands{};
    const VkResult result = vk.vkAllocateCommandBuffers(device_->handle(), &allocate, commands.data());
    if (result < VK_SUCCESS) vk.vkDestroyCommandPool(device_->handle(), pool_, nullptr);
    check_vk(result, "allocate command buffers");
    for (uint32_t i = 0; i < kBatches; ++i) batches_[i].commands = commands[i];
}

CopyQueue::~CopyQueue() {
    if (device_->drain()) device_->vk().vkDestroyCommandPool(device_->handle(), pool_, nullptr);
}

void CopyQueue::record(VkCommandBuffer commands, std::span<const BufferCopy> copies) const {
    const VolkDeviceTable& vk = device_->vk();
    auto begin = vk_struct<VkCommandBufferBeginInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO);
    begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
    check_vk(vk.vkBeginCommandBuffer(commands, &begin), "begin a command buffer");
    // After the batch before, and on the compute queue after the kernels before: those may still read what is
    // written here. A transfer queue knows no stages of kernels; the semaphores waited for order those.
    const VkPipelineStageFlags2 kernels =
        has_own_queue() ? 0 : VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_DRAW_INDIRECT_BIT;
    memory_barrier(*device_, commands, VK_PIPELINE_STAGE_2_COPY_BIT | kernels,
                   VK_ACCESS_2_TRANSFER_WRITE_BIT | (kernels != 0 ? VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT : 0),
                   VK_PIPELINE_STAGE_2_COPY_BIT,
                   VK_ACCESS_2_TRANSFER_READ_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT);
    for (const BufferCopy& copy : copies) {
        assert(copy.from.size == copy.to.size);
        if (copy.from.size == 0) continue;
        const VkBufferCopy region{copy.from.offset, copy.to.offset, copy.from.size};
        vk.vkCmdCopyBuffer(commands, copy.from.buffer, copy.to.buffer, 1, &region);
    }
    memory_barrier(*device_, commands, VK_PIPELINE_STAGE_2_COPY_BIT, VK_ACCESS_2_TRANSFER_WRITE_BIT,
                   VK_PIPELINE_STAGE_2_HOST_BIT, VK_ACCESS_2_HOST_READ_BIT);
    check_vk(vk.vkEndCommandBuffer(commands), "end a command buffer");
}

uint64_t CopyQueue::submit(std::span<const BufferCopy> copies, std::span<const TimelinePoint> waits) {
    if (copies.empty()) return submitted_;
    Batch& batch = batches_[next_batch_];
    timeline_.wait(batch.done_at);
    record(batch.commands, copies);
    submitted_ = submit_commands(*device_, queue_, batch.commands, timeline_, waits);
    batch.done_at = submitted_;
    next_batch_ = (next_batch_ + 1) % kBatches;
    return submitted_;
}

}  // namespace vkmoe
