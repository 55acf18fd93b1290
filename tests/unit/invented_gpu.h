#pragma once

#include "gpu/caps.h"

namespace vkmoe {

inline constexpr uint64_t kGiB = 1ull << 30;

inline constexpr VkSubgroupFeatureFlags kAllSubgroupOperations =
    VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_VOTE_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
    VK_SUBGROUP_FEATURE_BALLOT_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT |
    VK_SUBGROUP_FEATURE_SHUFFLE_RELATIVE_BIT;

inline constexpr QueueFamilyCaps kGraphicsFamily{1, true, true, true, 64};
inline constexpr QueueFamilyCaps kComputeFamily{4, false, true, true, 64};
inline constexpr QueueFamilyCaps kCopyFamily{2, false, false, true, 64};

/// A discrete GPU with 16 GiB and all that vkmoe needs.
inline DeviceCaps invented_gpu() {
    DeviceCaps caps;
    caps.name = "Invented GPU";
    caps.type = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    caps.vendor_id = 0x10de;
    caps.api_version = VK_API_VERSION_1_3;
    caps.max_workgroup_invocations = 1024;
    caps.max_workgroup_size = {1024, 1024, 64};
    caps.max_workgroup_count = {65535, 65535, 65535};
    caps.max_shared_memory = 49152;
    caps.max_push_constants = 256;
    caps.max_allocation_size = 4 * kGiB - 1;
    caps.max_buffer_size = ~uint64_t{0};
    caps.timestamp_period = 1;
    caps.subgroup_size = caps.min_subgroup_size = caps.max_subgroup_size = 32;
    caps.max_subgroups_per_workgroup = 32;
    caps.subgroup_operations = kAllSubgroupOperations;
    caps.subgroups_in_compute = true;
    caps.subgroup_size_control = true;
    caps.full_subgroups = true;
    caps.buffer_device_address = true;
    caps.timeline_semaphore = true;
    caps.synchronization2 = true;
    caps.maintenance4 = true;
    caps.integer_dot_product = caps.integer_dot_accelerated = true;
    caps.scalar_block_layout = true;
    caps.queue_families = {kGraphicsFamily};
    caps.memory_types = {{0, true, false, false, false}, {1, false, true, true, false}};
    caps.heaps = {{16 * kGiB, 15 * kGiB, true}, {32 * kGiB, 32 * kGiB, false}};
    return caps;
}

}  // namespace vkmoe
