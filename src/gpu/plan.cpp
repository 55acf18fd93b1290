#include "gpu/plan.h"

#include "base/error.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace vkmoe {
namespace {

constexpr uint64_t kMiB = 1ull << 20;
constexpr uint32_t kNarrowSubgroup = 16;      // fewer lanes: CPUs, and some kernels of Intel's
constexpr uint32_t kPushConstantBytes = 128;  // the least that Vulkan promises, and what all kernels share

constexpr VkSubgroupFeatureFlags kSubgroupOperations =
    VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_VOTE_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
    VK_SUBGROUP_FEATURE_BALLOT_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT |
    VK_SUBGROUP_FEATURE_SHUFFLE_RELATIVE_BIT;

/// Where the subgroup size that the driver calls its default is not the one to use. 0, or a size that the
/// device does not have: no change.
struct SubgroupQuirk {
    uint32_t vendor_id;
    uint32_t size;          ///< of most kernels
    uint32_t team_size;     ///< of products with weights for a few tokens, whose lanes share a row
    uint32_t product_size;  ///< of other products with weights
    uint32_t matrix_size;   ///< of those with cooperative matrices
    const char* reason;
};
constexpr SubgroupQuirk kSubgroupQuirks[] = {
    {kAmd, 0, 32, 0, 0,
     "rows of 2048 columns are 32 chunks of the K types: 64 lanes would have half of them idle. 16 of 16 "
     "subgroups are in flight with the registers of Q4_K, of 64 lanes 9 on Navi 21 and 12 on Navi 31"},
    {kAmd, 0, 0, 0, 32,
     "RDNA3's matrix instructions want both operands in each half of 64 lanes: twice the reads of shared "
     "memory. Clocks of a SIMD for 65,536 products of Q4_K by experts, by Mesa 26.2.6's code, 64 lanes and "
     "32: 964 and 724 on Navi 31 (float16), 521 and 427 on gfx1201 (int8)"},
    {kIntel, 16, 16, 16, 16,
     "Intel's register file is split among the lanes: 32 of them leave half the registers a lane, and "
     "kernels that hold rows of sums spill; 16 is the one size that every generation from Xe-LP to Xe2 has"},
    {kIntel, 0, 8, 8, 8,
     "before Xe2 16 lanes have 64 registers each: by Mesa 26.2.6, matmul of Q4_K on dot4 spills 73 on "
     "Skylake and 59 on DG2, on subgroup 56 and 14; none with 8 lanes"},
};

bool has_narrow_matrices(const DeviceCaps& caps) {
    return std::ranges::any_of(caps.matrices.shapes, [](const MatrixShapeCaps& shape) {
        return shape.a == MatrixElement::kFloat16 && shape.n == 8;
    });
}

/// Where another path comes first than in the usual order of GPUs.
struct OrderQuirk {
    bool (*is_meant)(const DeviceCaps&);
    Path first;
    Path before;
    const char* reason;
};
constexpr OrderQuirk kOrderQuirks[] = {
    {[](const DeviceCaps& caps) {
         return caps.vendor_id == kAmd && caps.has_extension("VK_EXT_shader_float8");
     },
     Path::kCoopmatInt8, Path::kCoopmat,
     "RDNA4, the first with 8-bit floats, multiplies int8 at twice the rate of float16, RDNA3 at the same. "
     "Clocks of a SIMD for 65,536 products by experts, by Mesa 26.2.6's code, coopmat and coopmat_int8: on "
     "gfx1201 468 and 427 (Q4_K), 457 and 353 (Q8_0), 518 and 525 (MXFP4), on Navi 31 722 and 824 "
     "(Q4_K), 711 and 769 (Q8_0), 778 and 1030 (Q6_K)"},
    {[](const DeviceCaps& caps) { return caps.vendor_id == kNvidia; }, Path::kCoopmatInt8, Path::kCoopmat,
     "65,536 products take 256 clocks in int8 and, with sums in float32, 512 in float16, on GeForce 1024, by "
     "NVIDIA's documents; the other instructions of dense products are 450 and 500 (Q4_K), 340 and 320 "
     "(Q8_0), 430 and 400 (MXFP4), by Mesa 26.2.6's code for Ampere"},
    {[](const DeviceCaps& caps) { return caps.vendor_id == kIntel && has_narrow_matrices(caps); },
     Path::kDot4, Path::kCoopmat,
     "matrices of 8 columns are of Xe-HPG, whose registers hold sums of 16 x 16 only: weights are decoded "
     "for 16 tokens"},
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

AttentionPlan plan_attention(const DeviceCaps& caps, const DevicePlan& plan) {
    // Spills of heads of 128, by Mesa 26.2.6. M1: 15 with 8 queries and int8, none with 7, nor with others.
    if (is_apple(caps)) return {.packed_queries = 4};
    if (caps.vendor_id != kIntel) return {};
    // 128 registers a thread, each as wide as the narrowest subgroup (which Xe2 doubled).
    const uint32_t lane_registers = 128 * std::max(caps.min_subgroup_size, 8u) / plan.subgroup_size;
    // With 128 registers a lane, 4 queries spill 34 with 4 words at once and none with 1. With 64, 2 queries
    // spill 40 with 1 word. From caches of int8, 4 rows of V spill 6 and 7 in these; 2 rows spill none.
    const uint32_t queries = lane_registers < 128 ? 1 : 4;
    return {queries, queries, 1, 2};
}

void plan_subgroups(const DeviceCaps& caps, DevicePlan& plan) {
    plan.subgroup_size = std::max(caps.subgroup_size, 1u);
    plan.team_subgroup_size = plan.product_subgroup_size = plan.matrix_subgroup_size = plan.subgroup_size;
    if (caps.subgroup_size_control && caps.min_subgroup_size != caps.max_subgroup_size) {
        plan.require_subgroup_size = true;
        const auto take = [&caps](uint32_t size, uint32_t& taken) {
            if (size >= caps.min_subgroup_size && size <= caps.max_subgroup_size) taken = size;
        };
        for (const SubgroupQuirk& quirk : kSubgroupQuirks) {
            if (quirk.vendor_id != caps.vendor_id) continue;
            take(quirk.size, plan.subgroup_size);
            take(quirk.team_size, plan.team_subgroup_size);
            take(quirk.product_size, plan.product_subgroup_size);
            take(quirk.matrix_size, plan.matrix_subgroup_size);
        }
    }
    plan.attention = plan_attention(caps, plan);
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
            plan.matrices[i] = plan_matrices(caps, fixed_size ? plan.matrix_subgroup_size : 0, path);
            plan.missing[i] = plan.matrices[i].missing;
        } else {
            plan.tiles[i] = plan_tiles(caps, path);
        }
    }
}

void move_before(std::vector<Path>& order, Path first, Path before) {
    std::erase(order, first);
    order.insert(std::ranges::find(order, before), first);
}

/// All paths of the device, best first.
std::vector<Path> usual_order(const DeviceCaps& caps, const DevicePlan& plan) {
    // float16 before int8: its products need no scaling by parts, and round less.
    const std::vector<Path> matrices{Path::kCoopmat2, Path::kCoopmat, Path::kCoopmatInt8};
    const std::vector<Path> others{Path::kDot4, Path::kSubgroup};
    // A CPU's drivers emulate cooperative matrices. lavapipe 26.2.6, Q4_K, 2048 x 2048 by 64 tokens: dot4 97
    // ms, coopmat_int8 169, subgroup 193, coopmat and coopmat2 262.
    const bool emulated = caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    std::vector<Path> order = emulated ? others : matrices;
    const std::vector<Path>& rest = emulated ? matrices : others;
    order.insert(order.end(), rest.begin(), rest.end());
    order.push_back(Path::kScalar);
    if (!emulated) {
        for (const OrderQuirk& quirk : kOrderQuirks)
            if (quirk.is_meant(caps)) move_before(order, quirk.first, quirk.before);
    }
    std::erase_if(order, [&plan](Path path) { return !missing_for(plan, path).empty(); });
    return order;
}

bool loads_scalars(const DeviceCaps& caps, const DevicePlan& plan) {
    return plan.subgroup_size < kNarrowSubgroup &&
           std::ranges::any_of(kScalarLoads, [&caps](const ScalarLoads& loads) {
               return loads.driver == caps.driver_id && caps.driver_version >= loads.first_version;
           });
}

/// The order for products with weights.
std::vector<Path> order_matrix_paths(const DeviceCaps& caps, const DevicePlan& plan,
                                     std::optional<Path> forced_path) {
    std::vector<Path> order = plan.path_order;
    if (forced_path || !loads_scalars(caps, plan)) return order;
    std::erase(order, Path::kScalar);
    order.insert(order.begin(), Path::kScalar);
    return order;
}

/// The order for products with weights for many tokens.
std::vector<Path> order_tile_paths(const DeviceCaps& caps, const DevicePlan& plan,
                                   std::optional<Path> forced_path) {
    std::vector<Path> order = plan.matrix_order;
    // A GPU without the instruction for a dot product of packed integers takes 2 or more for each product,
    // and 1 for one of floats. Clocks of a SIMD for 65,536 products of Q4_K, by Mesa 26.2.6's code for
    // Polaris 10: dot4 9740, subgroup 4700. Kernels for a few tokens take dot4 all the same, for they decode
    // each weight once for a product or two: 3.7 instructions a weight where subgroup takes 5.1.
    const bool emulated = caps.type != VK_PHYSICAL_DEVICE_TYPE_CPU && !caps.integer_dot_accelerated;
    if (!forced_path && emulated && plan.takes(Path::kDot4)) move_before(order, Path::kSubgroup, Path::kDot4);
    return order;
}

/// What is chosen by the scalar path.
void plan_scalar_path(const DeviceCaps& caps, DevicePlan& plan) {
    RegisterPlan& registers = plan.registers;
    registers.scalar_workgroup = plan.workgroup_size;
    if (plan.matrix_order.front() != Path::kScalar || !loads_scalars(caps, plan)) return;
    registers.scalar_workgroup = plan.subgroup_size;
    registers.few_tokens = 1;
    // Rows of activations that lie a multiple of 4 KiB apart share the 8 ways of a set of the first cache.
    // Prompts of 64 tokens in tiles of 8 and of 12: 31 and 22 tok/s (Mixtral, 2 layers), 125 and 83
    // (Qwen3-30B, 3 layers).
    registers.tile_tokens = 8;
    registers.scalar_rows = 2;
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
    plan.tile_order = order_tile_paths(caps, plan, forced_path);
    plan.registers = plan_registers(caps);
    // Cooperative matrices that were asked for multiply the experts of many tokens on CPUs as well.
    if (forced_path && uses_matrices(*forced_path)) plan.registers.all_experts = false;
    plan_scalar_path(caps, plan);
    // Several loads in flight hide latency; on CPU devices they only make code that takes long to compile. By
    // Mesa 26.2.6 for Tiger Lake and DG2, page_resolve spills 43 and 45 with 4 slots, and none with 2.
    if (caps.vendor_id == kIntel) plan.slots_at_once = 2;
    if (plan.subgroup_size < kNarrowSubgroup) plan.slots_at_once = 1;
    if (std::any_of(plan.path_order.begin(), plan.path_order.end(), uses_matrices))
        plan.extensions.emplace_back("VK_KHR_cooperative_matrix");
    if (plan.takes(Path::kCoopmat2)) plan.extensions.emplace_back("VK_NV_cooperative_matrix2");
    constexpr uint32_t kUsualCores = 32;
    plan.core_count = caps.core_count != 0                       ? caps.core_count
                      : caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU ? 1
                                                                 : kUsualCores;
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
