#include "gpu/caps.h"

#include "gpu/device.h"
#include "gpu/features.h"
#include "gpu/matrix_caps.h"
#include "gpu/vk_struct.h"

#include <algorithm>
#include <cstring>

namespace vkmoe {
namespace {

template <size_t size>
void copy_uuid(std::array<uint8_t, size>& to, const uint8_t (&from)[size]) {
    std::memcpy(to.data(), from, size);
}

std::vector<std::string> query_extensions(VkPhysicalDevice device) {
    uint32_t count = 0;
    check_vk(vkEnumerateDeviceExtensionProperties(device, nullptr, &count, nullptr),
             "list device extensions");
    std::vector<VkExtensionProperties> properties(count);
    check_vk(vkEnumerateDeviceExtensionProperties(device, nullptr, &count, properties.data()),
             "list device extensions");
    std::vector<std::string> names;
    for (const VkExtensionProperties& property : properties) names.emplace_back(property.extensionName);
    std::sort(names.begin(), names.end());
    return names;
}

void query_queues(VkPhysicalDevice device, DeviceCaps& caps) {
    uint32_t count = 0;
    vkGetPhysicalDeviceQueueFamilyProperties(device, &count, nullptr);
    std::vector<VkQueueFamilyProperties> families(count);
    vkGetPhysicalDeviceQueueFamilyProperties(device, &count, families.data());
    for (const VkQueueFamilyProperties& family : families) {
        QueueFamilyCaps queue;
        queue.queue_count = family.queueCount;
        queue.graphics = (family.queueFlags & VK_QUEUE_GRAPHICS_BIT) != 0;
        queue.compute = (family.queueFlags & VK_QUEUE_COMPUTE_BIT) != 0;
        // Video queues can copy too, but through an engine that is not made for it.
        // VK_QUEUE_VIDEO_ENCODE_BIT_KHR was provisional, and hidden, in headers before 1.3.274.
        constexpr VkQueueFlags kVideoEncode = 0x40;
        const bool video = (family.queueFlags & (VK_QUEUE_VIDEO_DECODE_BIT_KHR | kVideoEncode)) != 0;
        queue.transfer =
            queue.graphics || queue.compute || ((family.queueFlags & VK_QUEUE_TRANSFER_BIT) != 0 && !video);
        queue.timestamp_bits = family.timestampValidBits;
        caps.queue_families.push_back(queue);
    }
}

void query_memory(VkPhysicalDevice device, DeviceCaps& caps) {
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = vk_struct<VkPhysicalDeviceMemoryBudgetPropertiesEXT>(
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT);
    VkPhysicalDeviceMemoryProperties2 memory =
        vk_struct<VkPhysicalDeviceMemoryProperties2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2);
    const bool has_budget = caps.has_extension(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    if (has_budget) chain(memory, budget);
    vkGetPhysicalDeviceMemoryProperties2(device, &memory);
    const VkPhysicalDeviceMemoryProperties& properties = memory.memoryProperties;

    // Types for special ends (protected, tile memory, AMD's uncached ones) stand in the list, so that indices
    // agree, but with nothing set, so that nobody picks them.
    constexpr VkMemoryPropertyFlags kOrdinary =
        VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
        VK_MEMORY_PROPERTY_HOST_COHERENT_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    for (uint32_t i = 0; i < properties.memoryTypeCount; ++i) {
        VkMemoryPropertyFlags flags = properties.memoryTypes[i].propertyFlags;
        if ((flags & ~kOrdinary) != 0) flags = 0;
        MemoryTypeCaps type;
        type.heap = properties.memoryTypes[i].heapIndex;
        type.device_local = (flags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT) != 0;
        type.host_visible = (flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) != 0;
        type.host_coherent = (flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT) != 0;
        type.host_cached = (flags & VK_MEMORY_PROPERTY_HOST_CACHED_BIT) != 0;
        caps.memory_types.push_back(type);
    }
    for (uint32_t i = 0; i < properties.memoryHeapCount; ++i) {
        MemoryHeapCaps heap;
        heap.size = properties.memoryHeaps[i].size;
        // Drivers have reported 2^64-1 bytes for heaps of a few GiB.
        heap.budget = has_budget ? std::min<uint64_t>(budget.heapBudget[i], heap.size) : heap.size;
        heap.device_local = (properties.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0;
        caps.heaps.push_back(heap);
    }
}

void fill_core_properties(const VkPhysicalDeviceProperties& core, DeviceCaps& caps) {
    caps.name = core.deviceName;
    caps.type = core.deviceType;
    caps.vendor_id = core.vendorID;
    caps.device_id = core.deviceID;
    caps.driver_version = core.driverVersion;
    caps.api_version = core.apiVersion;
    copy_uuid(caps.pipeline_cache_uuid, core.pipelineCacheUUID);
    const VkPhysicalDeviceLimits& limits = core.limits;
    caps.max_workgroup_invocations = limits.maxComputeWorkGroupInvocations;
    std::copy_n(limits.maxComputeWorkGroupSize, 3, caps.max_workgroup_size.begin());
    std::copy_n(limits.maxComputeWorkGroupCount, 3, caps.max_workgroup_count.begin());
    caps.max_shared_memory = limits.maxComputeSharedMemorySize;
    caps.max_push_constants = limits.maxPushConstantsSize;
    caps.timestamp_period = limits.timestampPeriod;
}

void query_properties(VkPhysicalDevice device, DeviceCaps& caps) {
    VkPhysicalDeviceVulkan11Properties v11 = vk_struct<VkPhysicalDeviceVulkan11Properties>(
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES);
    VkPhysicalDeviceVulkan12Properties v12 = vk_struct<VkPhysicalDeviceVulkan12Properties>(
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES);
    VkPhysicalDeviceVulkan13Properties v13 = vk_struct<VkPhysicalDeviceVulkan13Properties>(
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES);
    VkPhysicalDeviceExternalMemoryHostPropertiesEXT host =
        vk_struct<VkPhysicalDeviceExternalMemoryHostPropertiesEXT>(
            VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT);
    VkPhysicalDeviceProperties2 properties =
        vk_struct<VkPhysicalDeviceProperties2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2);
    chain(properties, v11);
    chain(properties, v12);
    chain(properties, v13);
    if (caps.has_extension(VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME)) chain(properties, host);
    VkPhysicalDeviceShaderCoreProperties2AMD amd_cores = vk_struct<VkPhysicalDeviceShaderCoreProperties2AMD>(
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_PROPERTIES_2_AMD);
    VkPhysicalDeviceShaderSMBuiltinsPropertiesNV nvidia_cores =
        vk_struct<VkPhysicalDeviceShaderSMBuiltinsPropertiesNV>(
            VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV);
    if (caps.has_extension(VK_AMD_SHADER_CORE_PROPERTIES_2_EXTENSION_NAME)) chain(properties, amd_cores);
    if (caps.has_extension(VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME)) chain(properties, nvidia_cores);
    vkGetPhysicalDeviceProperties2(device, &properties);

    caps.core_count = std::max(amd_cores.activeComputeUnitCount, nvidia_cores.shaderSMCount);
    copy_uuid(caps.device_uuid, v11.deviceUUID);
    copy_uuid(caps.driver_uuid, v11.driverUUID);
    caps.driver_id = v12.driverID;
    caps.driver_name = v12.driverName;
    caps.driver_info = v12.driverInfo;
    caps.max_allocation_size = v11.maxMemoryAllocationSize;
    caps.max_buffer_size = v13.maxBufferSize;
    caps.host_pointer_alignment = host.minImportedHostPointerAlignment;
    caps.subgroup_size = v11.subgroupSize;
    caps.min_subgroup_size = v13.minSubgroupSize;
    caps.max_subgroup_size = v13.maxSubgroupSize;
    caps.max_subgroups_per_workgroup = v13.maxComputeWorkgroupSubgroups;
    caps.subgroup_operations = v11.subgroupSupportedOperations;
    caps.subgroups_in_compute = (v11.subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0;
    // The feature says whether a size may be required at all, the property for which stages.
    caps.subgroup_size_control =
        caps.subgroup_size_control && (v13.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0;
    caps.integer_dot_accelerated = v13.integerDotProduct4x8BitPackedSignedAccelerated != VK_FALSE;
}

void query_features(VkPhysicalDevice device, DeviceCaps& caps) {
    FeatureChain features;
    vkGetPhysicalDeviceFeatures2(device, &features.head());
    features.tell(caps);
}

}  // namespace

bool DeviceCaps::has_extension(const std::string& extension_name) const {
    return std::find(extensions.begin(), extensions.end(), extension_name) != extensions.end();
}

DeviceCaps query_caps(VkPhysicalDevice physical_device) {
    DeviceCaps caps;
    VkPhysicalDeviceProperties core{};
    vkGetPhysicalDeviceProperties(physical_device, &core);
    fill_core_properties(core, caps);
    caps.extensions = query_extensions(physical_device);
    query_queues(physical_device, caps);
    // An older driver does not know the structures below; the plan refuses it by its version.
    if (caps.api_version < VK_API_VERSION_1_3) return caps;
    query_memory(physical_device, caps);
    query_features(physical_device, caps);
    query_properties(physical_device, caps);
    query_matrix_caps(physical_device, caps);
    return caps;
}

}  // namespace vkmoe
