#pragma once

#include "gpu/device.h"

#include <string>
#include <string_view>

namespace vkmoe {

// Names for debuggers and validation messages. They do nothing where VK_EXT_debug_utils is missing.

void name_object(const Device& device, VkObjectType type, uint64_t handle, const std::string& name);
void begin_label(VkCommandBuffer commands, std::string_view label);
void end_label(VkCommandBuffer commands);

/// A handle as name_object wants it.
template <typename Handle>
uint64_t object_id(Handle handle) {
    return reinterpret_cast<uint64_t>(handle);
}

}  // namespace vkmoe
