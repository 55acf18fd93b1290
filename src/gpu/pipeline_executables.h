#pragma once

#include "gpu/caps.h"

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace vkmoe {

class Device;

/// One number that a driver tells of machine code, in the driver's own words.
struct ExecutableStatistic {
    std::string name;         ///< "Spilled VGPRs"
    std::string description;  ///< one sentence
    std::variant<bool, int64_t, uint64_t, double> value;
};

/// A piece of machine code that a driver made of a pipeline (VK_KHR_pipeline_executable_properties).
struct PipelineExecutable {
    std::string name;
    uint32_t subgroup_size = 0;
    std::vector<ExecutableStatistic> statistics;
};

/// The feature structure to be chained to what a device is created with, so that it tells of its pipelines.
class ExecutableFeature {
  public:
    /// Whether the driver has extension and feature.
    static bool supported(VkPhysicalDevice device, const DeviceCaps& caps);

    explicit ExecutableFeature(bool wanted);
    ExecutableFeature(const ExecutableFeature&) = delete;
    ExecutableFeature& operator=(const ExecutableFeature&) = delete;

    /// Puts it at the head of a chain, where it is wanted.
    void chain_to(VkPhysicalDeviceFeatures2& head);

  private:
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR feature_;
};

/// Of a pipeline that was created with VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR, on a device that
/// captures statistics.
std::vector<PipelineExecutable> pipeline_executables(const Device& device, VkPipeline pipeline);

}  // namespace vkmoe
