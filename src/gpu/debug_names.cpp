#include "gpu/debug_names.h"
#include "gpu/vk_struct.h"

namespace vkmoe {

void name_object(const Device& device, VkObjectType type, uint64_t handle, const std::string& name) {
    if (vkSetDebugUtilsObjectNameEXT == nullptr) return;
    VkDebugUtilsObjectNameInfoEXT info =
        vk_struct<VkDebugUtilsObjectNameInfoEXT>(VK_STRUCTURE_TYPE_DEBUG_UTILS_OBJECT_NAME_INFO_EXT);
    info.objectType = type;
    info.objectHandle = handle;
    info.pObjectName = name.c_str();
    check_vk(vkSetDebugUtilsObjectNameEXT(device.handle(), &info), "name an object");
}

void begin_label(VkCommandBuffer commands, std::string_view label) {
    if (vkCmdBeginDebugUtilsLabelEXT == nullptr) return;
    const std::string terminated(label);
    VkDebugUtilsLabelEXT info = vk_struct<VkDebugUtilsLabelEXT>(VK_STRUCTURE_TYPE_DEBUG_UTILS_LABEL_EXT);
    info.pLabelName = terminated.c_str();
    vkCmdBeginDebugUtilsLabelEXT(commands, &info);
}

void end_label(VkCommandBuffer commands) {
    if (vkCmdEndDebugUtilsLabelEXT != nullptr) vkCmdEndDebugUtilsLabelEXT(commands);
}

}  // namespace vkmoe
