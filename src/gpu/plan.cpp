#include "gpu/plan.h"

#include "base/error.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace vkmoe {
namespace {

constexpr uint64_t kMiB = 1ull << 20;
constexpr uint32_t kNarrowSubgroup = 16;      // fewer lanes than any GPU's
constexpr uint32_t kPushConstantBytes = 128;  // the least that Vulkan promises, and what all kernels share

constexpr VkSubgroupFeatureFlags kSubgroupOperations =
    VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_VOTE_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
    VK_SUBGROUP_FEATURE_BALLOT_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT |
    VK_SUBGROUP_FEATURE_SHUFFLE_RELATIVE_BIT;

/// Where the subgroup size that the driver calls its default is not the one to use.
struct SubgroupQuirk {
    uint32_t vendor_id;
    uint32_t size;
    const char* reason;
};
constexpr SubgroupQuirk kSubgroupQuirks[] = {
    {0x8086, 16,
     "Intel's register file is split among the lanes: 32 of them leave half the registers a lane, and "
     "kernels that "
     "hold rows of sums spill; 16 is the one size that every generation from Xe-LP to Xe2 has (by the "
     "hardware's "
     "documents, not measured)"},
};

/// Drivers of CPUs that load once from an address which is the same in all invocations. There, with a row of
/// weights for each lane of a vector, a product takes one load of an activation and one multiply-add, weights
/// are decoded once for all tokens, and there is neither shared memory nor a barrier. Others load for each
/// lane.
struct ScalarLoads {
    VkDriverId driver;
    uint32_t first_version;
    const char* reason;
};
constexpr ScalarLoads kScalarLoads[] = {
    {VK_DRIVER_ID_MESA_LLVMPIPE, VK_MAKE_API_VERSION(0, 26, 0, 0),
     "GFLOP/s of Q4_K, 2048 x 2304 by 480 tokens, with AVX2: 62 to 71 on the scalar path and 10 on dot4 of "
     "lavapipe 26.2.6 (LLVM 22); 4 and 10 of lavapipe 25.0.7 (LLVM 15)"},
};

std::vector<std::string> missing_needs(const DeviceCaps& caps) {
    std::vector<std::string> missing;
    auto need = [&missing](bool there, const char* what) {
        if (!there) missing.emplace_back(what);
    };
    if (caps.api_version < VK_API_VERSION_1_3) {
        missing.push_back(fmt::format("Vulkan 1.3 (the driver has {}.{})",
                                      VK_API_VERSION_MAJOR(caps.api_version),
                                      VK_API_VERSION_MINOR(caps.api_version)));
        return missing;  // nothing else was asked of such a driver
    }
    need(caps.buffer_device_address, "bufferDeviceAddress");
    need(caps.timeline_semaphore, "timelineSemaphore");
    need(caps.synchronization2, "synchronization2");
    need(caps.maintenance4, "maintenance4");
    need(caps.integer_dot_product, "shaderIntegerDotProduct");
    need(caps.scalar_block_layout, "scalarBlockLayout");
    need(caps.max_push_constants >= kPushConstantBytes, "128 bytes of push constants");
    need(caps.max_workgroup_invocations >= 128, "128 invocations per workgroup");
    need(caps.max_shared_memory >= 16384, "16 KiB of shared memory");
    need(std::any_of(caps.queue_families.begin(), caps.queue_families.end(),
                     [](const QueueFamilyCaps& family) { return family.compute && family.queue_count > 0; }),
         "a compute queue");
    return missing;
}

uint32_t pick_compute_family(const DeviceCaps& caps) {
    // A family without graphics does not share its queue with the desktop; it must have timestamps, or there
    // would be no profile.
    for (uint32_t i = 0; i < caps.queue_families.size(); ++i) {
        const QueueFamilyCaps& family = caps.queue_families[i];
        if (family.compute && !family.graphics && family.queue_count > 0 && family.timestamp_bits > 0)
            return i;
    }
    for (uint32_t i = 0; i < caps.queue_families.size(); ++i)
        if (caps.queue_families[i].compute && caps.queue_families[i].queue_count > 0) return i;
    return 0;
}

std::optional<uint32_t> pick_transfer_family(const DeviceCaps& caps) {
    for (uint32_t i = 0; i < caps.queue_families.size(); ++i) {
        const QueueFamilyCaps& family = caps.queue_families[i];
        if (family.transfer && !family.compute && !family.graphics && family.queue_count > 0) return i;
    }
    return std::nullopt;
}

void plan_subgroups(const DeviceCaps& caps, DevicePlan& plan) {
    plan.subgroup_size = std::max(caps.subgroup_size, 1u);
    if (caps.subgroup_size_control && caps.min_subgroup_size != caps.max_subgroup_size) {
        plan.require_subgroup_size = true;
        for (const SubgroupQuirk& quirk : kSubgroupQuirks)
            if (quirk.vendor_id == caps.vendor_id && quirk.size >= caps.min_subgroup_size &&
                quirk.size <= caps.max_subgroup_size)
                plan.subgroup_size = quirk.size;
    }
    // Four subgroups hide latency on a GPU; a CPU device with narrow subgroups still gets 32 invocations,
    // which cost it little.
    const uint32_t wanted = std::clamp(plan.subgroup_size * 4, 32u, 128u);
    const uint32_t most_subgroups =
        caps.max_subgroups_per_workgroup != 0 ? caps.max_subgroups_per_workgroup : wanted;
    const uint32_t subgroups = std::clamp(wanted / plan.subgroup_size, 1u, most_subgroups);
    plan.workgroup_size = plan.subgroup_size * subgroups;
}

/// For each path what the device lacks for it, and the tiles of those with cooperative matrices.
void plan_paths(const DeviceCaps& caps, DevicePlan& plan) {
    const bool subgroups =
        caps.subgroups_in_compute && (caps.subgroup_operations & kSubgroupOperations) == kSubgroupOperations;
    const bool fixed_size = plan.require_subgroup_size || caps.min_subgroup_size == caps.max_subgroup_size;
    for (uint32_t i = 0; i < kPathCount; ++i) {
        const Path path = static_cast<Path>(i);
        if (path == Path::kScalar) continue;
        if (!subgroups) {
            plan.missing[i] = "subgroup vote, arithmetic, ballot and shuffle operations in compute shaders";
        } else if (uses_matrices(path)) {
            plan.matrices[i] = plan_matrices(caps, fixed_size ? plan.subgroup_size : 0, path);
            plan.missing[i] = plan.matrices[i].missing;
        }
    }
}

/// All paths of the device, best first.
std::vector<Path> usual_order(const DeviceCaps& caps, const DevicePlan& plan) {
    // float16 before int8: its products need no scaling by parts, and round less. Neither was measured on a
    // GPU.
    const std::vector<Path> matrices{Path::kCoopmat2, Path::kCoopmat, Path::kCoopmatInt8};
    const std::vector<Path> others{Path::kDot4, Path::kSubgroup};
    // A CPU's drivers emulate cooperative matrices. lavapipe 26.2.6, Q4_K, 2048 x 2048 by 64 tokens: dot4 97
    // ms, coopmat_int8 169, subgroup 193, coopmat and coopmat2 262.
    const bool emulated = caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    std::vector<Path> order = emulated ? others : matrices;
    const std::vector<Path>& rest = emulated ? matrices : others;
    order.insert(order.end(), rest.begin(), rest.end());
    order.push_back(Path::kScalar);
    std::erase_if(order, [&plan](Path path) { return !missing_for(plan, path).empty(); });
    return order;
}

/// The order for products with weights.
std::vector<Path> order_matrix_paths(const DeviceCaps& caps, const DevicePlan& plan,
                                     std::optional<Path> forced_path) {
    std::vector<Path> order = plan.path_order;
    const auto is_meant = [&caps](const ScalarLoads& loads) {
        return loads.driver == caps.driver_id && caps.driver_version >= loads.first_version;
    };
    if (forced_path || plan.subgroup_size >= kNarrowSubgroup || std::ranges::none_of(kScalarLoads, is_meant))
        return order;
    std::erase(order, Path::kScalar);
    order.insert(order.begin(), Path::kScalar);
    return order;
}

RegisterPlan plan_registers(const DevicePlan& plan) {
    RegisterPlan registers;
    registers.scalar_workgroup = plan.workgroup_size;
    if (plan.subgroup_size >= kNarrowSubgroup || plan.matrix_order.front() != Path::kScalar)
        return registers;
    registers.scalar_workgroup = plan.subgroup_size;
    registers.few_tokens = 1;
    // 16 vector registers hold the sums of 8 to 12 tokens. Rows of activations that lie a multiple of 4 KiB
    // apart share the 8 ways of a cache set: 16 rows of 2048 columns take 3 times as long as 12.
    registers.tile_tokens = 12;
    registers.scalar_rows = 2;
    return registers;
}

std::vector<Path> order_paths(const DeviceCaps& caps, const DevicePlan& plan,
                              std::optional<Path> forced_path) {
    std::vector<Path> order = usual_order(caps, plan);
    if (!forced_path) return order;
    if (!missing_for(plan, *forced_path).empty())
        fail(ErrorCode::kUnsupported,
             "device '{}' does not support path '{}' because it lacks {}; unset VKMOE_PATH or choose another "
             "path",
             caps.name, path_name(*forced_path), missing_for(plan, *forced_path));
    if (*forced_path == Path::kScalar) return {Path::kScalar};
    if (!uses_matrices(*forced_path)) return {*forced_path, Path::kScalar};
    std::erase_if(order, uses_matrices);
    order.insert(order.begin(), *forced_path);
    return order;
}

uint64_t plan_chunk_size(const DeviceCaps& caps, const HeapPlan& heaps, uint64_t max_allocation_size) {
    const uint64_t heap = heaps.device.empty() ? 0 : caps.heaps[heaps.device.front()].size;
    // Large chunks keep the number of driver allocations low (drivers promise 4096); on a small heap, the
    // unused rest of a chunk must not cost more than a thirty-second of it.
    const uint64_t chunk = std::min({256 * kMiB, max_allocation_size, std::max(heap / 32, 4 * kMiB)});
    return std::max(chunk / kMiB * kMiB, kMiB);
}

}  // namespace

DevicePlan make_plan(const DeviceCaps& caps, std::optional<Path> forced_path) {
    const std::vector<std::string> missing = missing_needs(caps);
    if (!missing.empty())
        fail(ErrorCode::kUnsupported,
             "device '{}' cannot run vkmoe because it lacks {}; update its driver or choose another device "
             "with --device",
             caps.name, fmt::join(missing, ", "));

    DevicePlan plan;
    plan.compute_family = pick_compute_family(caps);
    plan.transfer_family = pick_transfer_family(caps);
    plan.memory_budget = caps.has_extension(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    for (const char* extension :
         {VK_EXT_MEMORY_BUDGET_EXTENSION_NAME, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME})
        if (caps.has_extension(extension)) plan.extensions.emplace_back(extension);
    plan_subgroups(caps, plan);
    plan_paths(caps, plan);
    plan.path_order = order_paths(caps, plan, forced_path);
    plan.matrix_order = order_matrix_paths(caps, plan, forced_path);
    plan.registers = plan_registers(plan);
    if (std::any_of(plan.path_order.begin(), plan.path_order.end(), uses_matrices))
        plan.extensions.emplace_back("VK_KHR_cooperative_matrix");
    if (plan.takes(Path::kCoopmat2)) plan.extensions.emplace_back("VK_NV_cooperative_matrix2");
    plan.max_workgroup_invocations = caps.max_workgroup_invocations;
    plan.max_shared_memory = caps.max_shared_memory;
    // One buffer covers one allocation, so the smaller of the two limits holds. Nothing needs the last page:
    // drivers that report 2^64-1 or round a buffer's size up stay within the limit.
    plan.max_allocation_size = std::min(caps.max_allocation_size, caps.max_buffer_size) / 4096 * 4096;
    plan.heaps = plan_heaps(caps);
    plan.arena_chunk_size = plan_chunk_size(caps, plan.heaps, plan.max_allocation_size);
    plan.unified_memory = plan.heaps.unified;
    plan.timestamps =
        caps.queue_families[plan.compute_family].timestamp_bits > 0 && caps.timestamp_period > 0;
    return plan;
}

}  // namespace vkmoe
