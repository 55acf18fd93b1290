#include "base/error.h"
#include "gpu/plan.h"
#include "unit/error_matching.h"

namespace vkmoe {
namespace {

constexpr uint64_t kMiB = 1ull << 20;
constexpr uint64_t kGiB = 1ull << 30;

constexpr VkSubgroupFeatureFlags kAllSubgroupOperations =
    VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_VOTE_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
    VK_SUBGROUP_FEATURE_BALLOT_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT |
    VK_SUBGROUP_FEATURE_SHUFFLE_RELATIVE_BIT;

constexpr QueueFamilyCaps kGraphicsFamily{1, true, true, true, 64};
constexpr QueueFamilyCaps kComputeFamily{4, false, true, true, 64};
constexpr QueueFamilyCaps kCopyFamily{2, false, false, true, 64};

/// A discrete GPU with 16 GiB and all that vkmoe needs.
DeviceCaps invented_gpu() {
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
    caps.integer_dot_product = true;
    caps.scalar_block_layout = true;
    caps.queue_families = {kGraphicsFamily};
    caps.memory_types = {{0, true, false, false, false}, {1, false, true, true, false}};
    caps.heaps = {{16 * kGiB, 15 * kGiB, true}, {32 * kGiB, 32 * kGiB, false}};
    return caps;
}

TEST(GpuPlan, TakesTheBestPathFirst) {
    EXPECT_EQ(make_plan(invented_gpu(), std::nullopt).path_order,
              (std::vector<Path>{Path::kDot4, Path::kSubgroup, Path::kScalar}));
}

TEST(GpuPlan, AForcedPathHasOnlyScalarBehindIt) {
    const DeviceCaps caps = invented_gpu();
    EXPECT_EQ(make_plan(caps, Path::kDot4).path_order, (std::vector<Path>{Path::kDot4, Path::kScalar}));
    EXPECT_EQ(make_plan(caps, Path::kSubgroup).path_order,
              (std::vector<Path>{Path::kSubgroup, Path::kScalar}));
    EXPECT_EQ(make_plan(caps, Path::kScalar).path_order, (std::vector<Path>{Path::kScalar}));
}

TEST(GpuPlan, WithoutSubgroupArithmeticOnlyScalarIsLeft) {
    DeviceCaps caps = invented_gpu();
    caps.subgroup_operations &= ~static_cast<VkSubgroupFeatureFlags>(VK_SUBGROUP_FEATURE_ARITHMETIC_BIT);
    EXPECT_EQ(make_plan(caps, std::nullopt).path_order, (std::vector<Path>{Path::kScalar}));
    expect_error(ErrorCode::kUnsupported, {"Invented GPU", "subgroup", "VKMOE_PATH"},
                 [&] { make_plan(caps, Path::kSubgroup); });
    caps = invented_gpu();
    caps.subgroups_in_compute = false;
    EXPECT_EQ(make_plan(caps, std::nullopt).path_order, (std::vector<Path>{Path::kScalar}));
}

TEST(GpuPlan, NamesEverythingThatIsMissing) {
    DeviceCaps caps = invented_gpu();
    caps.buffer_device_address = false;
    caps.maintenance4 = false;
    caps.queue_families = {kCopyFamily};
    expect_error(ErrorCode::kUnsupported,
                 {"Invented GPU", "bufferDeviceAddress", "maintenance4", "a compute queue"},
                 [&] { make_plan(caps, std::nullopt); });
    caps = invented_gpu();
    caps.api_version = VK_MAKE_API_VERSION(0, 1, 2, 5);
    expect_error(ErrorCode::kUnsupported, {"Vulkan 1.3 (the driver has 1.2)"},
                 [&] { make_plan(caps, std::nullopt); });
}

TEST(GpuPlan, EachNeedIsChecked) {
    const auto lacks = [](const char* name, auto remove) {
        DeviceCaps caps = invented_gpu();
        remove(caps);
        expect_error(ErrorCode::kUnsupported, {name}, [&] { make_plan(caps, std::nullopt); });
    };
    lacks("timelineSemaphore", [](DeviceCaps& caps) { caps.timeline_semaphore = false; });
    lacks("synchronization2", [](DeviceCaps& caps) { caps.synchronization2 = false; });
    lacks("shaderIntegerDotProduct", [](DeviceCaps& caps) { caps.integer_dot_product = false; });
    lacks("scalarBlockLayout", [](DeviceCaps& caps) { caps.scalar_block_layout = false; });
    lacks("push constants", [](DeviceCaps& caps) { caps.max_push_constants = 64; });
    lacks("invocations", [](DeviceCaps& caps) { caps.max_workgroup_invocations = 64; });
    lacks("shared memory", [](DeviceCaps& caps) { caps.max_shared_memory = 8192; });
}

TEST(GpuPlan, PrefersAComputeQueueThatTheDesktopDoesNotUse) {
    DeviceCaps caps = invented_gpu();
    caps.queue_families = {kGraphicsFamily, kCopyFamily, kComputeFamily};
    DevicePlan plan = make_plan(caps, std::nullopt);
    EXPECT_EQ(plan.compute_family, 2);
    EXPECT_EQ(plan.transfer_family, 1);
    EXPECT_TRUE(plan.timestamps);

    caps.queue_families[2].timestamp_bits = 0;
    plan = make_plan(caps, std::nullopt);
    EXPECT_EQ(plan.compute_family, 0) << "a profile needs timestamps";

    caps.queue_families = {kGraphicsFamily};
    plan = make_plan(caps, std::nullopt);
    EXPECT_EQ(plan.compute_family, 0);
    EXPECT_FALSE(plan.transfer_family);

    caps.queue_families[0].timestamp_bits = 0;
    EXPECT_FALSE(make_plan(caps, std::nullopt).timestamps);
}

TEST(GpuPlan, WorkgroupsAreWholeSubgroups) {
    struct Row {
        uint32_t subgroup;
        uint32_t workgroup;
    };
    for (const Row& row : {Row{4, 32}, Row{8, 32}, Row{16, 64}, Row{32, 128}, Row{64, 128}, Row{128, 128}}) {
        DeviceCaps caps = invented_gpu();
        caps.subgroup_size = caps.min_subgroup_size = caps.max_subgroup_size = row.subgroup;
        const DevicePlan plan = make_plan(caps, std::nullopt);
        EXPECT_EQ(plan.subgroup_size, row.subgroup);
        EXPECT_EQ(plan.workgroup_size, row.workgroup);
        EXPECT_FALSE(plan.require_subgroup_size) << "there is only one size";
    }
    DeviceCaps few = invented_gpu();
    few.max_subgroups_per_workgroup = 2;
    EXPECT_EQ(make_plan(few, std::nullopt).workgroup_size, 64);
}

TEST(GpuPlan, HoldsTheDriverToOneSubgroupSize) {
    DeviceCaps amd = invented_gpu();
    amd.vendor_id = 0x1002;
    amd.subgroup_size = 64;
    amd.min_subgroup_size = 32;
    amd.max_subgroup_size = 64;
    DevicePlan plan = make_plan(amd, std::nullopt);
    EXPECT_TRUE(plan.require_subgroup_size);
    EXPECT_EQ(plan.subgroup_size, 64);

    DeviceCaps intel = invented_gpu();
    intel.vendor_id = 0x8086;
    intel.min_subgroup_size = 8;
    intel.max_subgroup_size = 32;
    plan = make_plan(intel, std::nullopt);
    EXPECT_TRUE(plan.require_subgroup_size);
    EXPECT_EQ(plan.subgroup_size, 16);
    EXPECT_EQ(plan.workgroup_size, 64);

    intel.subgroup_size_control = false;
    plan = make_plan(intel, std::nullopt);
    EXPECT_FALSE(plan.require_subgroup_size);
    EXPECT_EQ(plan.subgroup_size, 32);
}

TEST(GpuPlan, ChunksFitTheHeapAndTheLimits) {
    DeviceCaps caps = invented_gpu();
    DevicePlan plan = make_plan(caps, std::nullopt);
    EXPECT_EQ(plan.arena_chunk_size, 256 * kMiB);
    EXPECT_EQ(plan.max_allocation_size, 4 * kGiB - 4096);

    caps.heaps[0].size = 2 * kGiB;
    EXPECT_EQ(make_plan(caps, std::nullopt).arena_chunk_size, 64 * kMiB);
    caps.heaps[0].size = 64 * kMiB;
    EXPECT_EQ(make_plan(caps, std::nullopt).arena_chunk_size, 4 * kMiB);
    caps.max_buffer_size = 2 * kMiB + 17;
    plan = make_plan(caps, std::nullopt);
    EXPECT_EQ(plan.max_allocation_size, 2 * kMiB);
    EXPECT_EQ(plan.arena_chunk_size, 2 * kMiB);
}

TEST(GpuPlan, UnifiedMemoryIsOfIntegratedAndCpuDevices) {
    DeviceCaps caps = invented_gpu();
    caps.memory_types = {{0, true, true, true, true}};
    caps.heaps = {{16 * kGiB, 16 * kGiB, true}};
    EXPECT_FALSE(make_plan(caps, std::nullopt).unified_memory) << "a resizable BAR is still a bus away";
    caps.type = VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
    EXPECT_TRUE(make_plan(caps, std::nullopt).unified_memory);
    caps.heaps.push_back({kGiB, kGiB, true});
    caps.memory_types.push_back({1, true, false, false, false});
    EXPECT_FALSE(make_plan(caps, std::nullopt).unified_memory) << "one heap is out of the host's sight";
}

TEST(GpuPlan, EnablesOnlyExtensionsThatExist) {
    DeviceCaps caps = invented_gpu();
    EXPECT_TRUE(make_plan(caps, std::nullopt).extensions.empty());
    EXPECT_FALSE(make_plan(caps, std::nullopt).memory_budget);
    caps.extensions = {"VK_EXT_memory_budget", "VK_EXT_mesh_shader"};
    EXPECT_EQ(make_plan(caps, std::nullopt).extensions, (std::vector<std::string>{"VK_EXT_memory_budget"}));
    EXPECT_TRUE(make_plan(caps, std::nullopt).memory_budget);
}

TEST(GpuPlan, PathNamesAreReadAsTheyAreWritten) {
    for (uint32_t i = 0; i < kPathCount; ++i)
        EXPECT_EQ(path_from_name(path_name(static_cast<Path>(i))), static_cast<Path>(i));
    EXPECT_FALSE(path_from_name("Scalar"));
}

}  // namespace
}  // namespace vkmoe
