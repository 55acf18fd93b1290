#include "gpu/pipeline_executables.h"

#include "gpu/device.h"
#include "gpu/vk_struct.h"

#include <algorithm>
#include <string_view>

namespace vkmoe {
namespace {

using Feature = VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR;
constexpr VkStructureType kFeatureType =
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR;

/// Text of a driver in an array, which may lack its end.
template <size_t size>
std::string text_of(const char (&text)[size]) {
    return {text, std::find(text, text + size, '\0')};
}

/// All that an enumerating function of Vulkan returns. A driver that lists more the second time is not asked
/// again.
template <typename Element, typename Enumerate>
std::vector<Element> enumerate(VkStructureType type, const char* doing, const Enumerate& function) {
    uint32_t n = 0;
    check_vk(function(&n, nullptr), doing);
    std::vector<Element> elements(n, vk_struct<Element>(type));
    check_vk(function(&n, elements.data()), doing);
    elements.resize(std::min<size_t>(n, elements.size()));
    return elements;
}

ExecutableStatistic statistic_of(const VkPipelineExecutableStatisticKHR& told) {
    ExecutableStatistic statistic{text_of(told.name), text_of(told.description), {}};
    switch (told.format) {
        case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR:
            statistic.value = told.value.b32 != VK_FALSE;
            break;
        case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR:
            statistic.value = told.value.i64;
            break;
        case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR:
            statistic.value = told.value.f64;
            break;
        default:
            statistic.value = told.value.u64;
    }
    return statistic;
}

}  // namespace

bool ExecutableFeature::supported(VkPhysicalDevice device, const DeviceCaps& caps) {
    if (!caps.has_extension(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME)) return false;
    Feature feature = vk_struct<Feature>(kFeatureType);
    auto features = vk_struct<VkPhysicalDeviceFeatures2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2);
    chain(features, feature);
    vkGetPhysicalDeviceFeatures2(device, &features);
    return feature.pipelineExecutableInfo != VK_FALSE;
}

ExecutableFeature::ExecutableFeature(bool wanted) : feature_(vk_struct<Feature>(kFeatureType)) {
    feature_.pipelineExecutableInfo = wanted ? VK_TRUE : VK_FALSE;
}

void ExecutableFeature::chain_to(VkPhysicalDeviceFeatures2& head) {
    if (feature_.pipelineExecutableInfo != VK_FALSE) chain(head, feature_);
}

std::vector<PipelineExecutable> pipeline_executables(const Device& device, VkPipeline pipeline) {
    const VolkDeviceTable& vk = device.vk();
    auto pipeline_info = vk_struct<VkPipelineInfoKHR>(VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR);
    pipeline_info.pipeline = pipeline;
    const auto properties = enumerate<VkPipelineExecutablePropertiesKHR>(
        VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR, "list the executables of a pipeline",
        [&](uint32_t* n, VkPipelineExecutablePropertiesKHR* list) {
            return vk.vkGetPipelineExecutablePropertiesKHR(device.handle(), &pipeline_info, n, list);
        });
    std::vector<PipelineExecutable> executables;
    for (const VkPipelineExecutablePropertiesKHR& told : properties) {
        auto info = vk_struct<VkPipelineExecutableInfoKHR>(VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR);
        info.pipeline = pipeline;
        info.executableIndex = static_cast<uint32_t>(executables.size());
        PipelineExecutable executable{text_of(told.name), told.subgroupSize, {}};
        for (const VkPipelineExecutableStatisticKHR& statistic : enumerate<VkPipelineExecutableStatisticKHR>(
                 VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR, "read the statistics of a pipeline",
                 [&](uint32_t*n, VkPipelineExecutableStatisticKHR*list) {
                     return vk.vkGetPipelineExecutableStatisticsKHR(device.handle(), &info, n, list);
                 }))
            executable.statistics.push_back(statistic_of(statistic));
        executables.push_back(std::move(executable));
    }
    return executables;
}

}  // namespace vkmoe
