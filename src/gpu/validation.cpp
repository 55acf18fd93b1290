#include "gpu/validation.h"

#include "gpu/validation_messenger.h"
#include "gpu/vk_struct.h"

#include <atomic>
#include <cstdio>

namespace vkmoe {
namespace {

// The messenger's callback has no other place to count that outlives every instance.
std::atomic<uint64_t> error_count = 0;

VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT,
                                          VkDebugUtilsMessageTypeFlagsEXT,
                                          const VkDebugUtilsMessengerCallbackDataEXT* data, void*) {
    ++error_count;
    std::fprintf(stderr, "validation: %s\n", data->pMessage);
    return VK_FALSE;
}

}  // namespace

uint64_t validation_error_count() {
    return error_count;
}

VkDebugUtilsMessengerCreateInfoEXT validation_messenger_info() {
    VkDebugUtilsMessengerCreateInfoEXT info = vk_struct<VkDebugUtilsMessengerCreateInfoEXT>(
        VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT);
    info.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
    // Not GENERAL: that is how the loader itself complains, of drivers that it cannot open among others.
    info.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
    info.pfnUserCallback = on_message;
    return info;
}

}  // namespace vkmoe
