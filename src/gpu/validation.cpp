#include "gpu/validation.h"

#include "base/error.h"
#include "base/standard_streams.h"
#include "gpu/validation_messenger.h"
#include "gpu/vk_struct.h"

#include <atomic>
#include <cstdlib>
#include <string_view>

namespace vkmoe {
namespace {

// The messenger's callback has no other place to count that outlives every instance.
std::atomic<uint64_t> error_count = 0;

VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT,
                                          VkDebugUtilsMessageTypeFlagsEXT,
                                          const VkDebugUtilsMessengerCallbackDataEXT* data, void*) {
    ++error_count;
    print_standard_error("validation: {}\n", data->pMessage);
    return VK_FALSE;
}

}  // namespace

Validation wanted_validation() {
    const char* value = std::getenv("VKMOE_VALIDATION");
    const std::string_view wish = value != nullptr ? value : "";
    if (wish.empty() || wish == "0") return Validation::kOff;
    if (wish == "1") return Validation::kCore;
    if (wish == "sync") return Validation::kSynchronization;
    fail(ErrorCode::kInvalidArgument, "VKMOE_VALIDATION={} is not valid; use 0, 1 or sync", wish);
}

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
