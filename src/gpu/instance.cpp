#include "base/error.h"
#include "gpu/device.h"
#include "gpu/validation.h"
#include "gpu/validation_messenger.h"
#include "gpu/vk_struct.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace vkmoe {
namespace {

constexpr const char* kValidationLayer = "VK_LAYER_KHRONOS_validation";

void load_vulkan() {
    static std::once_flag once;
    static VkResult result = VK_SUCCESS;
    std::call_once(once, [] { result = volkInitialize(); });
    if (result != VK_SUCCESS)
        fail(ErrorCode::kNoDevice,
             "no Vulkan loader (libvulkan.so.1) found: install libvulkan1 and a driver, either "
             "mesa-vulkan-drivers or the GPU vendor's driver");
    const uint32_t version = volkGetInstanceVersion();
    if (version < VK_API_VERSION_1_3)
        fail(ErrorCode::kNoDevice,
             "the Vulkan loader has version {}.{}, but vkmoe needs 1.3; update libvulkan1",
             VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));
}

[[noreturn]] void fail_without_driver() {
    const char* files = std::getenv("VK_DRIVER_FILES");
    if (files == nullptr) files = std::getenv("VK_ICD_FILENAMES");
    const std::string hint =
        files != nullptr ? fmt::format("; VK_DRIVER_FILES={} names no working driver", files) : std::string();
    fail(ErrorCode::kNoDevice,
         "no Vulkan driver found: install mesa-vulkan-drivers (AMD, Intel, and a CPU driver) or the GPU "
         "vendor's driver{}",
         hint);
}

bool has_layer(const char* name) {
    uint32_t count = 0;
    check_vk(vkEnumerateInstanceLayerProperties(&count, nullptr), "list Vulkan layers");
    std::vector<VkLayerProperties> layers(count);
    check_vk(vkEnumerateInstanceLayerProperties(&count, layers.data()), "list Vulkan layers");
    return std::any_of(layers.begin(), layers.end(), [name](const VkLayerProperties& layer) {
        return std::strcmp(layer.layerName, name) == 0;
    });
}

bool has_instance_extension(const char* name) {
    uint32_t count = 0;
    check_vk(vkEnumerateInstanceExtensionProperties(nullptr, &count, nullptr), "list instance extensions");
    std::vector<VkExtensionProperties> extensions(count);
    check_vk(vkEnumerateInstanceExtensionProperties(nullptr, &count, extensions.data()),
             "list instance extensions");
    return std::any_of(extensions.begin(), extensions.end(), [name](const VkExtensionProperties& extension) {
        return std::strcmp(extension.extensionName, name) == 0;
    });
}

int preference(VkPhysicalDeviceType type) {
    switch (type) {
        case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
            return 0;
        case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
            return 1;
        case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
            return 2;
        case VK_PHYSICAL_DEVICE_TYPE_CPU:
            return 3;
        default:
            return 4;
    }
}

std::vector<VkPhysicalDevice> list_devices(VkInstance instance) {
    uint32_t count = 0;
    VkResult result = vkEnumeratePhysicalDevices(instance, &count, nullptr);
    if (result == VK_ERROR_INITIALIZATION_FAILED || (result == VK_SUCCESS && count == 0))
        fail_without_driver();
    check_vk(result, "list Vulkan devices");
    std::vector<VkPhysicalDevice> devices(count);
    check_vk(vkEnumeratePhysicalDevices(instance, &count, devices.data()), "list Vulkan devices");
    devices.resize(count);
    std::stable_sort(devices.begin(), devices.end(), [](VkPhysicalDevice left, VkPhysicalDevice right) {
        VkPhysicalDeviceProperties properties[2];
        vkGetPhysicalDeviceProperties(left, &properties[0]);
        vkGetPhysicalDeviceProperties(right, &properties[1]);
        return preference(properties[0].deviceType) < preference(properties[1].deviceType);
    });
    return devices;
}

}  // namespace

std::shared_ptr<Instance> Instance::create() {
    load_vulkan();
    const Validation validation = wanted_validation();
    if (validation != Validation::kOff && !has_layer(kValidationLayer))
        fail(ErrorCode::kUnsupported,
             "VKMOE_VALIDATION is set, but the layer {} is not installed: install vulkan-validationlayers",
             kValidationLayer);

    std::vector<const char*> layers;
    std::vector<const char*> extensions;
    const bool debug_utils = has_instance_extension(VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
    if (debug_utils) extensions.push_back(VK_EXT_DEBUG_UTILS_EXTENSION_NAME);

    VkApplicationInfo application = vk_struct<VkApplicationInfo>(VK_STRUCTURE_TYPE_APPLICATION_INFO);
    application.pApplicationName = "vkmoe";
    application.apiVersion = VK_API_VERSION_1_3;
    VkInstanceCreateInfo info = vk_struct<VkInstanceCreateInfo>(VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO);
    info.pApplicationInfo = &application;

    VkDebugUtilsMessengerCreateInfoEXT messenger = validation_messenger_info();
    constexpr std::array<VkValidationFeatureEnableEXT, 1> kSynchronizationChecks = {
        VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
    VkValidationFeaturesEXT features =
        vk_struct<VkValidationFeaturesEXT>(VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT);
    features.enabledValidationFeatureCount = kSynchronizationChecks.size();
    features.pEnabledValidationFeatures = kSynchronizationChecks.data();
    if (validation != Validation::kOff) {
        layers.push_back(kValidationLayer);
        info.pNext = &messenger;  // reports what happens while the instance itself is made
        if (validation == Validation::kSynchronization) {
            extensions.push_back(VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME);
            messenger.pNext = &features;
        }
    }
    info.enabledLayerCount = static_cast<uint32_t>(layers.size());
    info.ppEnabledLayerNames = layers.data();
    info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
    info.ppEnabledExtensionNames = extensions.data();

    std::shared_ptr<Instance> instance(new Instance());
    {
        // volk keeps the instance's functions in globals: the loader's own entry points, good for every
        // instance.
        static std::mutex mutex;
        const std::lock_guard lock(mutex);
        const VkResult result = vkCreateInstance(&info, nullptr, &instance->instance_);
        if (result == VK_ERROR_INCOMPATIBLE_DRIVER) fail_without_driver();
        check_vk(result, "create a Vulkan instance");
        volkLoadInstanceOnly(instance->instance_);
    }
    if (validation != Validation::kOff) {
        messenger.pNext = nullptr;
        check_vk(
            vkCreateDebugUtilsMessengerEXT(instance->instance_, &messenger, nullptr, &instance->messenger_),
            "create a debug messenger");
    }
    instance->physical_devices_ = list_devices(instance->instance_);
    return instance;
}

Instance::~Instance() {
    if (messenger_ != VK_NULL_HANDLE) vkDestroyDebugUtilsMessengerEXT(instance_, messenger_, nullptr);
    if (instance_ != VK_NULL_HANDLE) vkDestroyInstance(instance_, nullptr);
}

}  // namespace vkmoe
