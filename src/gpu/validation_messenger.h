#pragma once

#include <volk.h>

namespace vkmoe {

/// A messenger that counts errors for validation_error_count() and prints them.
VkDebugUtilsMessengerCreateInfoEXT validation_messenger_info();

}  // namespace vkmoe
