#include "gpu/features.h"

#include "gpu/vk_struct.h"

#include <span>

namespace vkmoe {
namespace {

template <typename Features>
struct Feature {
    VkBool32 Features::*of_driver;
    bool DeviceCaps::*of_caps;
};

using V11 = VkPhysicalDeviceVulkan11Features;
using V12 = VkPhysicalDeviceVulkan12Features;
using V13 = VkPhysicalDeviceVulkan13Features;

// Those that the plan needs and those that kernels may use where they exist.
constexpr Feature<V11> kFeatures11[] = {{&V11::storageBuffer16BitAccess, &DeviceCaps::storage_16bit}};
constexpr Feature<V12> kFeatures12[] = {{&V12::bufferDeviceAddress, &DeviceCaps::buffer_device_address},
                                        {&V12::timelineSemaphore, &DeviceCaps::timeline_semaphore},
                                        {&V12::scalarBlockLayout, &DeviceCaps::scalar_block_layout},
                                        {&V12::hostQueryReset, &DeviceCaps::host_query_reset},
                                        {&V12::shaderFloat16, &DeviceCaps::float16},
                                        {&V12::shaderInt8, &DeviceCaps::int8},
                                        {&V12::storageBuffer8BitAccess, &DeviceCaps::storage_8bit}};
constexpr Feature<V13> kFeatures13[] = {{&V13::synchronization2, &DeviceCaps::synchronization2},
                                        {&V13::maintenance4, &DeviceCaps::maintenance4},
                                        {&V13::shaderIntegerDotProduct, &DeviceCaps::integer_dot_product},
                                        {&V13::subgroupSizeControl, &DeviceCaps::subgroup_size_control},
                                        {&V13::computeFullSubgroups, &DeviceCaps::full_subgroups}};
// What shaders of cooperative matrices are compiled for.
constexpr Feature<V12> kWithMatrices[] = {
    {&V12::vulkanMemoryModel, &DeviceCaps::vulkan_memory_model},
    {&V12::vulkanMemoryModelDeviceScope, &DeviceCaps::vulkan_memory_model_device_scope}};

template <typename Features>
void tell_of(const Features& driver, std::span<const Feature<Features>> features, DeviceCaps& caps) {
    for (const Feature<Features>& feature : features)
        caps.*feature.of_caps = driver.*feature.of_driver != VK_FALSE;
}

template <typename Features>
void ask_of(const DeviceCaps& caps, std::span<const Feature<Features>> features, Features& device) {
    for (const Feature<Features>& feature : features) device.*feature.of_driver = caps.*feature.of_caps;
}

}  // namespace

FeatureChain::FeatureChain()
    : v13_(vk_struct<V13>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES)),
      v12_(vk_struct<V12>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES)),
      v11_(vk_struct<V11>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES)),
      head_(vk_struct<VkPhysicalDeviceFeatures2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2)) {
    chain(head_, v13_);
    chain(head_, v12_);
    chain(head_, v11_);
}

void FeatureChain::tell(DeviceCaps& caps) const {
    tell_of<V11>(v11_, kFeatures11, caps);
    tell_of<V12>(v12_, kFeatures12, caps);
    tell_of<V12>(v12_, kWithMatrices, caps);
    tell_of<V13>(v13_, kFeatures13, caps);
}

void FeatureChain::ask(const DeviceCaps& caps, void* matrices) {
    ask_of<V11>(caps, kFeatures11, v11_);
    ask_of<V12>(caps, kFeatures12, v12_);
    ask_of<V13>(caps, kFeatures13, v13_);
    if (matrices == nullptr) return;
    ask_of<V12>(caps, kWithMatrices, v12_);
    v13_.pNext = matrices;
}

}  // namespace vkmoe
