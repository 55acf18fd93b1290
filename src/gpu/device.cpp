#include "gpu/device.h"
#include "gpu/features.h"
#include "gpu/matrix_caps.h"
#include "gpu/pipeline_executables.h"
#include "gpu/vk_struct.h"

#include "base/error.h"
#include "base/log.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

namespace vkmoe {
namespace {

std::optional<Path> forced_path() {
    const char* name = std::getenv("VKMOE_PATH");
    if (name == nullptr || *name == '\0') return std::nullopt;
    const std::optional<Path> path = path_from_name(name);
    if (!path) {
        std::vector<std::string_view> names;
        for (uint32_t i = 0; i < kPathCount; ++i) names.push_back(path_name(static_cast<Path>(i)));
        fail(ErrorCode::kInvalidArgument, "VKMOE_PATH={} is not a kernel path; use one of {}", name,
             fmt::join(names, ", "));
    }
    return path;
}

double wanted_timeout() {
    constexpr double kDefaultSeconds = 600;
    const char* value = std::getenv("VKMOE_GPU_TIMEOUT");
    if (value == nullptr || *value == '\0') return kDefaultSeconds;
    const std::string_view text = value;
    double seconds = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() ||
        !(seconds > 0 && seconds < 1e9))
        fail(ErrorCode::kInvalidArgument, "VKMOE_GPU_TIMEOUT={} is not a number of seconds above 0", text);
    return seconds;
}

VkDevice create_logical_device(VkPhysicalDevice physical, const DeviceCaps& caps, const DevicePlan& plan,
                               bool captures_statistics) {
    const float priority = 1.0f;
    std::vector<VkDeviceQueueCreateInfo> queues;
    std::vector<uint32_t> families{plan.compute_family};
    if (plan.transfer_family) families.push_back(*plan.transfer_family);
    for (uint32_t family : families) {
        VkDeviceQueueCreateInfo queue =
            vk_struct<VkDeviceQueueCreateInfo>(VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO);
        queue.queueFamilyIndex = family;
        queue.queueCount = 1;
        queue.pQueuePriorities = &priority;
        queues.push_back(queue);
    }
    std::vector<const char*> extensions;
    for (const std::string& extension : plan.extensions) extensions.push_back(extension.c_str());
    if (captures_statistics) extensions.push_back(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);

    MatrixFeatures matrices(caps.matrices, plan.uses("VK_KHR_cooperative_matrix"),
                            plan.uses("VK_NV_cooperative_matrix2"));
    FeatureChain features;
    features.ask(caps, matrices.head());
    ExecutableFeature executables(captures_statistics);
    executables.chain_to(features.head());
    VkDeviceCreateInfo info = vk_struct<VkDeviceCreateInfo>(VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO);
    info.pNext = &features.head();
    info.queueCreateInfoCount = static_cast<uint32_t>(queues.size());
    info.pQueueCreateInfos = queues.data();
    info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
    info.ppEnabledExtensionNames = extensions.data();
    VkDevice device = VK_NULL_HANDLE;
    check_vk(vkCreateDevice(physical, &info, nullptr, &device), "create a Vulkan device");
    return device;
}

const char* result_name(VkResult result) {
    switch (result) {
        case VK_ERROR_OUT_OF_HOST_MEMORY:
            return "VK_ERROR_OUT_OF_HOST_MEMORY";
        case VK_ERROR_OUT_OF_DEVICE_MEMORY:
            return "VK_ERROR_OUT_OF_DEVICE_MEMORY";
        case VK_ERROR_INITIALIZATION_FAILED:
            return "VK_ERROR_INITIALIZATION_FAILED";
        case VK_ERROR_DEVICE_LOST:
            return "VK_ERROR_DEVICE_LOST";
        case VK_ERROR_LAYER_NOT_PRESENT:
            return "VK_ERROR_LAYER_NOT_PRESENT";
        case VK_ERROR_EXTENSION_NOT_PRESENT:
            return "VK_ERROR_EXTENSION_NOT_PRESENT";
        case VK_ERROR_FEATURE_NOT_PRESENT:
            return "VK_ERROR_FEATURE_NOT_PRESENT";
        case VK_ERROR_INCOMPATIBLE_DRIVER:
            return "VK_ERROR_INCOMPATIBLE_DRIVER";
        default:
            return "a VkResult";
    }
}

}  // namespace

void check_vk(VkResult result, const char* doing) {
    if (result >= VK_SUCCESS) return;
    switch (result) {
        case VK_ERROR_OUT_OF_HOST_MEMORY:
        case VK_ERROR_OUT_OF_DEVICE_MEMORY:
            fail(ErrorCode::kOutOfMemory,
                 "could not {}: out of {} memory; close other programs, or use a smaller model or context",
                 doing, result == VK_ERROR_OUT_OF_HOST_MEMORY ? "host" : "device");
        case VK_ERROR_DEVICE_LOST:
            fail(
                ErrorCode::kDeviceLost,
                "could not {}: the device was lost (driver reset or crash); check the system log and restart",
                doing);
        default:
            fail(ErrorCode::kInternal,
                 "could not {}: the Vulkan driver returned {} ({}); a driver update may help", doing,
                 result_name(result), static_cast<int>(result));
    }
}

std::shared_ptr<Device> Device::create(const std::string& wish, const DeviceOptions& options) {
    std::shared_ptr<Instance> instance = Instance::create();
    const uint32_t index = choose_device(*instance, wish);
    return create(std::move(instance), index, options);
}

std::shared_ptr<Device> Device::create(std::shared_ptr<Instance> instance, uint32_t index,
                                       const DeviceOptions& options) {
    if (index >= instance->physical_devices().size())
        fail(ErrorCode::kNoDevice, "there is no device {}; of the {} devices, the last has index {}", index,
             instance->physical_devices().size(), instance->physical_devices().size() - 1);
    std::shared_ptr<Device> device(new Device());
    device->instance_ = std::move(instance);
    device->physical_ = device->instance_->physical_devices()[index];
    device->caps_ = query_caps(device->physical_);
    device->plan_ = make_plan(device->caps_, forced_path());
    device->timeout_seconds_ = wanted_timeout();
    device->captures_statistics_ =
        options.capture_statistics && ExecutableFeature::supported(device->physical_, device->caps_);
    device->device_ =
        create_logical_device(device->physical_, device->caps_, device->plan_, device->captures_statistics_);
    volkLoadDeviceTable(&device->vk_, device->device_);
    device->vk_.vkGetDeviceQueue(device->device_, device->plan_.compute_family, 0, &device->compute_queue_);
    if (device->plan_.transfer_family)
        device->vk_.vkGetDeviceQueue(device->device_, *device->plan_.transfer_family, 0,
                                     &device->transfer_queue_);
    log_debug("device {}: {} ({})", index, device->caps_.name, device->caps_.driver_info);
    return device;
}

}  // namespace vkmoe
