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

/// Puts a structure at the head of a pNext chain.
template <typename Head, typename Link>
void chain(Head& head, Link& link) {
    link.pNext = head.pNext;
    head.pNext = &link;
}

}  // namespace vkmoe
