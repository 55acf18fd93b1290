#pragma once

#include <volk.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace vkmoe {

/// PCI ids of vendors.
inline constexpr uint32_t kAmd = 0x1002;
inline constexpr uint32_t kIntel = 0x8086;
inline constexpr uint32_t kNvidia = 0x10de;
inline constexpr uint32_t kQualcomm = 0x5143;

struct QueueFamilyCaps {
    uint32_t queue_count = 0;
    bool graphics = false;
    bool compute = false;
    bool transfer = false;
    uint32_t timestamp_bits = 0;  ///< 0: timestamps are not written on this family
};

struct MemoryTypeCaps {
    uint32_t heap = 0;
    bool device_local = false;
    bool host_visible = false;
    bool host_coherent = false;
    bool host_cached = false;
};

struct MemoryHeapCaps {
    uint64_t size = 0;    ///< bytes
    uint64_t budget = 0;  ///< bytes this process may use now, by VK_EXT_memory_budget, else size
    bool device_local = false;
};

/// What the numbers of a cooperative matrix are.
enum class MatrixElement : uint8_t { kFloat16, kFloat32, kInt8, kInt32, kOther };

/// A product A (m x k) by B (k x n), added to C (m x n), that a device can do.
struct MatrixShapeCaps {
    uint32_t m = 0;  ///< for flexible dimensions the unit that they are a multiple of
    uint32_t n = 0;
    uint32_t k = 0;
    MatrixElement a = MatrixElement::kOther;
    MatrixElement b = MatrixElement::kOther;
    MatrixElement c = MatrixElement::kOther;
    MatrixElement result = MatrixElement::kOther;
    bool saturating = false;
    bool workgroup_scope = false;  ///< held by a workgroup (flexible dimensions only), else by a subgroup
    bool other_scope = false;      ///< neither
    uint32_t workgroup_invocations = 0;  ///< what the workgroup must have, with flexible dimensions; 0: any
};

/// What VK_KHR_cooperative_matrix and VK_NV_cooperative_matrix2 give; false or empty where they are missing.
struct MatrixCaps {
    bool cooperative_matrix = false;
    bool in_compute = false;
    bool workgroup_scope = false;
    bool flexible_dimensions = false;
    bool per_element_operations = false;
    uint32_t max_workgroup_size = 0;      ///< invocations, for matrices held by a workgroup
    uint32_t max_flexible_dimension = 0;  ///< of m, n and k
    uint32_t reserved_shared_memory = 0;  ///< bytes that the driver takes for matrices held by a workgroup
    std::vector<MatrixShapeCaps> shapes;
    std::vector<MatrixShapeCaps> flexible_shapes;
};

/// Everything that vkmoe asks of a driver, as plain data: filled once by query_caps, invented freely by
/// tests.
struct DeviceCaps {
    std::string name;
    VkDriverId driver_id = VK_DRIVER_ID_MAX_ENUM;
    std::string driver_name;
    std::string driver_info;
    VkPhysicalDeviceType type = VK_PHYSICAL_DEVICE_TYPE_OTHER;
    uint32_t vendor_id = 0;
    uint32_t device_id = 0;
    uint32_t driver_version = 0;
    uint32_t api_version = 0;
    std::array<uint8_t, VK_UUID_SIZE> device_uuid{};
    std::array<uint8_t, VK_UUID_SIZE> driver_uuid{};
    std::array<uint8_t, VK_UUID_SIZE> pipeline_cache_uuid{};

    uint32_t max_workgroup_invocations = 0;
    std::array<uint32_t, 3> max_workgroup_size{};
    std::array<uint32_t, 3> max_workgroup_count{};
    uint32_t max_shared_memory = 0;       ///< bytes a workgroup
    uint32_t max_push_constants = 0;      ///< bytes
    uint64_t max_allocation_size = 0;     ///< bytes, maintenance3
    uint64_t max_buffer_size = 0;         ///< bytes, maintenance4
    uint64_t host_pointer_alignment = 0;  ///< bytes, VK_EXT_external_memory_host; 0 where it is missing
    float timestamp_period = 0;           ///< nanoseconds a tick
    uint32_t core_count = 0;  ///< compute units or streaming multiprocessors; 0: the driver does not tell

    uint32_t subgroup_size = 0;
    uint32_t min_subgroup_size = 0;
    uint32_t max_subgroup_size = 0;
    uint32_t max_subgroups_per_workgroup = 0;
    VkSubgroupFeatureFlags subgroup_operations = 0;
    bool subgroups_in_compute = false;
    bool subgroup_size_control = false;
    bool full_subgroups = false;

    bool buffer_device_address = false;
    bool timeline_semaphore = false;
    bool synchronization2 = false;
    bool maintenance4 = false;
    bool integer_dot_product = false;
    bool integer_dot_accelerated = false;  ///< 4x8-bit packed signed
    bool scalar_block_layout = false;
    bool host_query_reset = false;
    bool float16 = false;
    bool int8 = false;
    bool storage_8bit = false;
    bool storage_16bit = false;
    bool vulkan_memory_model = false;
    bool vulkan_memory_model_device_scope = false;

    MatrixCaps matrices;

    std::vector<std::string> extensions;
    std::vector<QueueFamilyCaps> queue_families;
    std::vector<MemoryTypeCaps> memory_types;
    std::vector<MemoryHeapCaps> heaps;

    bool has_extension(const std::string& extension_name) const;
};

/// Reads the caps of one device. Never throws for a missing feature: what is needed is the plan's business.
DeviceCaps query_caps(VkPhysicalDevice physical_device);

}  // namespace vkmoe
