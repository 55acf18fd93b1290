#pragma once

#include "gpu/device.h"
#include "gpu/vk_struct.h"

namespace vkmoe {

/// A barrier over all memory, recorded into a command buffer.
inline void memory_barrier(const Device& device, VkCommandBuffer commands, VkPipelineStageFlags2 from_stages,
                           VkAccessFlags2 from_accesses, VkPipelineStageFlags2 to_stages,
                           VkAccessFlags2 to_accesses) {
    auto memory = vk_struct<VkMemoryBarrier2>(VK_STRUCTURE_TYPE_MEMORY_BARRIER_2);
    memory.srcStageMask = from_stages;
    memory.srcAccessMask = from_accesses;
    memory.dstStageMask = to_stages;
    memory.dstAccessMask = to_accesses;
    auto dependency = vk_struct<VkDependencyInfo>(VK_STRUCTURE_TYPE_DEPENDENCY_INFO);
    dependency.memoryBarrierCount = 1;
    dependency.pMemoryBarriers = &memory;
    device.vk().vkCmdPipelineBarrier2(commands, &dependency);
}

}  // namespace vkmoe
