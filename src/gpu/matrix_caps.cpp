#include "gpu/matrix_caps.h"

#include "gpu/device.h"
#include "gpu/vk_struct.h"

namespace vkmoe {

#ifdef VK_KHR_cooperative_matrix
namespace {

MatrixElement element(VkComponentTypeKHR type) {
    switch (type) {
        case VK_COMPONENT_TYPE_FLOAT16_KHR:
            return MatrixElement::kFloat16;
        case VK_COMPONENT_TYPE_FLOAT32_KHR:
            return MatrixElement::kFloat32;
        case VK_COMPONENT_TYPE_SINT8_KHR:
            return MatrixElement::kInt8;
        case VK_COMPONENT_TYPE_SINT32_KHR:
            return MatrixElement::kInt32;
        default:
            return MatrixElement::kOther;
    }
}

/// What both kinds of properties have under the same names.
template <typename Properties>
MatrixShapeCaps shape(const Properties& properties, uint32_t m, uint32_t n, uint32_t k) {
    MatrixShapeCaps made;
    made.m = m;
    made.n = n;
    made.k = k;
    made.a = element(properties.AType);
    made.b = element(properties.BType);
    made.c = element(properties.CType);
    made.result = element(properties.ResultType);
    made.saturating = properties.saturatingAccumulation != VK_FALSE;
    made.workgroup_scope = properties.scope == VK_SCOPE_WORKGROUP_KHR;
    made.other_scope = !made.workgroup_scope && properties.scope != VK_SCOPE_SUBGROUP_KHR;
    return made;
}

/// What the driver says of one extension: its features, or its properties. All: the structure that such are
/// chained to.
template <typename Known, typename All>
Known ask(VkPhysicalDevice device, VkStructureType type, VkStructureType type_of_all,
          void(VKAPI_PTR* query)(VkPhysicalDevice, All*)) {
    auto known = vk_struct<Known>(type);
    auto all = vk_struct<All>(type_of_all);
    chain(all, known);
    query(device, &all);
    return known;
}

template <typename Features>
Features features_of(VkPhysicalDevice device, VkStructureType type) {
    return ask<Features>(device, type, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                         vkGetPhysicalDeviceFeatures2);
}

template <typename Properties>
Properties properties_of(VkPhysicalDevice device, VkStructureType type) {
    return ask<Properties>(device, type, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                           vkGetPhysicalDeviceProperties2);
}

/// All that a vkGetPhysicalDevice…Properties function lists. It is asked for by name: an older volk does not
/// know it.
template <typename Properties, typename Function>
std::vector<Properties> list(VkPhysicalDevice device, const char* name, VkStructureType type) {
    const auto function = reinterpret_cast<Function>(vkGetInstanceProcAddr(volkGetLoadedInstance(), name));
    if (function == nullptr) return {};
    uint32_t count = 0;
    check_vk(function(device, &count, nullptr), "list cooperative matrices");
    std::vector<Properties> listed(count, vk_struct<Properties>(type));
    check_vk(function(device, &count, listed.data()), "list cooperative matrices");
    listed.resize(count);
    return listed;
}

#ifdef VK_NV_cooperative_matrix2
void query_second(VkPhysicalDevice device, MatrixCaps& caps) {
    const auto known = features_of<VkPhysicalDeviceCooperativeMatrix2FeaturesNV>(
        device, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV);
    caps.workgroup_scope = known.cooperativeMatrixWorkgroupScope != VK_FALSE;
    caps.flexible_dimensions = known.cooperativeMatrixFlexibleDimensions != VK_FALSE;
    caps.per_element_operations = known.cooperativeMatrixPerElementOperations != VK_FALSE;

    const auto limits = properties_of<VkPhysicalDeviceCooperativeMatrix2PropertiesNV>(
        device, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_PROPERTIES_NV);
    caps.max_workgroup_size = limits.cooperativeMatrixWorkgroupScopeMaxWorkgroupSize;
    caps.max_flexible_dimension = limits.cooperativeMatrixFlexibleDimensionsMaxDimension;
    caps.reserved_shared_memory = limits.cooperativeMatrixWorkgroupScopeReservedSharedMemory;

    for (const VkCooperativeMatrixFlexibleDimensionsPropertiesNV& flexible :
         list<VkCooperativeMatrixFlexibleDimensionsPropertiesNV,
              PFN_vkGetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV>(
             device, "vkGetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV",
             VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_FLEXIBLE_DIMENSIONS_PROPERTIES_NV)) {
        MatrixShapeCaps made =
            shape(flexible, flexible.MGranularity, flexible.NGranularity, flexible.KGranularity);
        made.workgroup_invocations = flexible.workgroupInvocations;
        caps.flexible_shapes.push_back(made);
    }
}
#endif

}  // namespace

void query_matrix_caps(VkPhysicalDevice device, DeviceCaps& caps) {
    if (!caps.has_extension(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME)) return;
    const auto known = features_of<VkPhysicalDeviceCooperativeMatrixFeaturesKHR>(
        device, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR);
    caps.matrices.cooperative_matrix = known.cooperativeMatrix != VK_FALSE;

    const auto stages = properties_of<VkPhysicalDeviceCooperativeMatrixPropertiesKHR>(
        device, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_PROPERTIES_KHR);
    caps.matrices.in_compute = (stages.cooperativeMatrixSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0;

    for (const VkCooperativeMatrixPropertiesKHR& fixed :
         list<VkCooperativeMatrixPropertiesKHR, PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR>(
             device, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR",
             VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR))
        caps.matrices.shapes.push_back(shape(fixed, fixed.MSize, fixed.NSize, fixed.KSize));
#ifdef VK_NV_cooperative_matrix2
    if (caps.has_extension(VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME)) query_second(device, caps.matrices);
#endif
}

MatrixFeatures::MatrixFeatures([[maybe_unused]] const MatrixCaps& caps, bool first,
                               [[maybe_unused]] bool second) {
    if (!first) return;
    first_ = vk_struct<VkPhysicalDeviceCooperativeMatrixFeaturesKHR>(
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR);
    first_.cooperativeMatrix = VK_TRUE;
    head_ = &first_;
#ifdef VK_NV_cooperative_matrix2
    if (!second) return;
    second_ = vk_struct<VkPhysicalDeviceCooperativeMatrix2FeaturesNV>(
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV);
    second_.cooperativeMatrixWorkgroupScope = caps.workgroup_scope;
    second_.cooperativeMatrixFlexibleDimensions = caps.flexible_dimensions;
    second_.cooperativeMatrixPerElementOperations = caps.per_element_operations;
    first_.pNext = &second_;
#endif
}

#else

void query_matrix_caps(VkPhysicalDevice, DeviceCaps&) {}

MatrixFeatures::MatrixFeatures(const MatrixCaps&, bool, bool) {}

#endif

}  // namespace vkmoe
