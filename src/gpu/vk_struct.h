#pragma once

#include <volk.h>

namespace vkmoe {

/// A Vulkan structure with its type set and all else zero.
template <typename Struct>
Struct vk_struct(VkStructureType type) {
    Struct made{};
    made.sType = type;
    return made;
}

}  // namespace vkmoe
