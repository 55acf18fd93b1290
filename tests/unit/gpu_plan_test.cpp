#include "base/error.h"
#include "gpu/plan.h"
#include "unit/error_matching.h"
#include "unit/invented_gpu.h"

namespace vkmoe {
namespace {

constexpr uint64_t kMiB = 1ull << 20;

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
    EXPECT_EQ(plan.product_subgroup_size, 8);
    EXPECT_EQ(plan.team_subgroup_size, 8);
    EXPECT_EQ(plan.matrix_subgroup_size, 8);
    EXPECT_EQ(plan.workgroup_size, 64);
    intel.min_subgroup_size = 16;
    EXPECT_EQ(make_plan(intel, std::nullopt).product_subgroup_size, 16) << "Xe2";

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
    caps.heaps.push_back({32 * kGiB, 32 * kGiB, true});
    caps.memory_types.push_back({1, true, false, false, false});
    EXPECT_FALSE(make_plan(caps, std::nullopt).unified_memory) << "most of it is out of the host's sight";
}

TEST(GpuPlan, EnablesOnlyExtensionsThatExist) {
    DeviceCaps caps = invented_gpu();
    EXPECT_TRUE(make_plan(caps, std::nullopt).extensions.empty());
    EXPECT_FALSE(make_plan(caps, std::nullopt).memory_budget);
    caps.extensions = {"VK_EXT_memory_budget", "VK_EXT_mesh_shader"};
    EXPECT_EQ(make_plan(caps, std::nullopt).extensions, (std::vector<std::string>{"VK_EXT_memory_budget"}));
    EXPECT_TRUE(make_plan(caps, std::nullopt).memory_budget);
}

constexpr MatrixElement kHalf = MatrixElement::kFloat16;
constexpr MatrixElement kFloat = MatrixElement::kFloat32;
constexpr MatrixElement kByte = MatrixElement::kInt8;
constexpr MatrixElement kInt = MatrixElement::kInt32;

MatrixShapeCaps float16_shape(uint32_t m, uint32_t n, uint32_t k, MatrixElement sums = kFloat) {
    return {m, n, k, kHalf, kHalf, sums, sums};
}

MatrixShapeCaps int8_shape(uint32_t m, uint32_t n, uint32_t k) {
    return {m, n, k, kByte, kByte, kInt, kInt};
}

/// The invented GPU with VK_KHR_cooperative_matrix.
DeviceCaps with_matrices(uint32_t subgroup_size, std::vector<MatrixShapeCaps> shapes) {
    DeviceCaps caps = invented_gpu();
    caps.extensions = {"VK_KHR_cooperative_matrix"};
    caps.subgroup_size = caps.min_subgroup_size = caps.max_subgroup_size = subgroup_size;
    caps.float16 = caps.int8 = true;
    caps.vulkan_memory_model = caps.vulkan_memory_model_device_scope = true;
    caps.matrices.cooperative_matrix = caps.matrices.in_compute = true;
    caps.matrices.shapes = std::move(shapes);
    return caps;
}

DeviceCaps nvidia() {
    return with_matrices(32,
                         {float16_shape(16, 16, 16, kHalf), float16_shape(16, 8, 16), float16_shape(16, 8, 8),
                          float16_shape(16, 16, 16), int8_shape(16, 16, 32), int8_shape(16, 8, 32)});
}

/// VK_NV_cooperative_matrix2 with matrices of whole workgroups.
DeviceCaps nvidia2() {
    DeviceCaps caps = nvidia();
    caps.extensions.emplace_back("VK_NV_cooperative_matrix2");
    MatrixCaps& matrices = caps.matrices;
    matrices.workgroup_scope = matrices.flexible_dimensions = matrices.per_element_operations = true;
    matrices.max_workgroup_size = matrices.max_flexible_dimension = 1024;
    matrices.reserved_shared_memory = 4096;
    for (uint32_t invocations : {64u, 128u, 256u, 512u}) {
        MatrixShapeCaps shape = float16_shape(32, 16, 16);
        shape.workgroup_scope = true;
        shape.workgroup_invocations = invocations;
        matrices.flexible_shapes.push_back(shape);
    }
    return caps;
}

/// Each tile is whole and within the limits of its device.
void expect_sane(const DeviceCaps& caps, const DevicePlan& plan, Path path) {
    std::vector<MatrixTile> tiles{matrix_plan(plan, path).dense, matrix_plan(plan, path).experts};
    std::ranges::copy(matrix_plan(plan, path).others, std::back_inserter(tiles));
    for (const MatrixTile& tile : tiles) {
        SCOPED_TRACE(path_name(path));
        ASSERT_GT(tile.k * tile.tile_rows() * tile.tile_tokens(), 0);
        EXPECT_EQ(32 % tile.k, 0) << "a run has 32 columns";
        EXPECT_LE(tile.workgroup_size, caps.max_workgroup_invocations);
        const bool experts = tile == matrix_plan(plan, path).experts;
        EXPECT_LE(MatrixPlan::shared_memory(path, tile, experts), caps.max_shared_memory);
        const uint32_t teams = tile.row_teams * tile.token_teams;
        EXPECT_EQ(tile.workgroup_size,
                  tile.workgroup_scope ? tile.workgroup_size : teams * plan.matrix_subgroup_size);
        ASSERT_EQ(tile.constants().size(), 11);
        EXPECT_EQ(tile.constants().front(), tile.workgroup_size);
        EXPECT_EQ(tile.constants()[8], tile.workgroup_scope ? 2 : 3);
    }
    EXPECT_GE(matrix_plan(plan, path).dense.tile_tokens(), matrix_plan(plan, path).experts.tile_tokens());
}

struct Shape {
    uint32_t m;
    uint32_t n;
    uint32_t k;
};

void expect_shape(const DeviceCaps& caps, Path path, const Shape& shape) {
    const DevicePlan plan = make_plan(caps, std::nullopt);
    EXPECT_EQ(missing_for(plan, path), "");
    expect_sane(caps, plan, path);
    const MatrixTile& tile = matrix_plan(plan, path).dense;
    EXPECT_EQ(tile.m, shape.m) << path_name(path);
    EXPECT_EQ(tile.n, shape.n) << path_name(path);
    EXPECT_EQ(tile.k, shape.k) << path_name(path);
}

TEST(GpuPlan, SixteenLanesTakeMoreTeamsForMoreTokens) {
    DeviceCaps intel = with_matrices(16, {float16_shape(8, 16, 16)});
    const DevicePlan plan = make_plan(intel, std::nullopt);
    expect_sane(intel, plan, Path::kCoopmat);
    const MatrixPlan& matrices = matrix_plan(plan, Path::kCoopmat);
    EXPECT_EQ(matrices.experts.tile_tokens(), 64);
    const std::optional<MatrixTile> half = matrices.experts.halved();
    ASSERT_TRUE(half);
    EXPECT_EQ(half->tile_tokens(), 32);
    EXPECT_EQ(half->token_matrices, matrices.experts.token_matrices) << "sums of a subgroup";
    EXPECT_EQ(half->workgroup_size * 2, matrices.experts.workgroup_size);
    EXPECT_TRUE(std::ranges::any_of(matrices.others, [](const MatrixTile& tile) {
        return tile.tile_rows() == 32 && tile.tile_tokens() == 256;
    })) << "for a long prompt";
}

TEST(GpuPlan, TakesMatricesAsTheDeviceListsThem) {
    expect_shape(nvidia(), Path::kCoopmat, {16, 16, 16});
    expect_shape(nvidia(), Path::kCoopmatInt8, {16, 16, 32});
    const DeviceCaps amd = with_matrices(64, {float16_shape(16, 16, 16), int8_shape(16, 16, 16)});
    expect_shape(amd, Path::kCoopmat, {16, 16, 16});
    expect_shape(amd, Path::kCoopmatInt8, {16, 16, 16});
    const DeviceCaps intel = with_matrices(16, {float16_shape(8, 16, 16), int8_shape(8, 16, 32)});
    expect_shape(intel, Path::kCoopmat, {8, 16, 16});
    expect_shape(intel, Path::kCoopmatInt8, {8, 16, 32});
    const DeviceCaps lavapipe = with_matrices(8, {float16_shape(8, 8, 8), int8_shape(8, 8, 8)});
    expect_shape(lavapipe, Path::kCoopmat, {8, 8, 8});
    expect_shape(lavapipe, Path::kCoopmatInt8, {8, 8, 8});
}

TEST(GpuPlan, MatricesComeBeforeTheOthersOnAGpuAndAfterThemOnACpu) {
    using enum Path;
    EXPECT_EQ(make_plan(nvidia2(), std::nullopt).path_order,
              (std::vector<Path>{kCoopmat2, kCoopmatInt8, kCoopmat, kDot4, kSubgroup, kScalar}));
    DeviceCaps cpu = nvidia();
    cpu.type = VK_PHYSICAL_DEVICE_TYPE_CPU;
    EXPECT_EQ(make_plan(cpu, std::nullopt).path_order,
              (std::vector<Path>{kDot4, kSubgroup, kCoopmat, kCoopmatInt8, kScalar}));
}

TEST(GpuPlan, EmulatedDotProductsComeAfterFloatOnAGpu) {
    using enum Path;
    DeviceCaps caps = invented_gpu();
    EXPECT_EQ(make_plan(caps, std::nullopt).tile_order, (std::vector<Path>{kDot4, kSubgroup, kScalar}));
    caps.integer_dot_accelerated = false;
    const DevicePlan plan = make_plan(caps, std::nullopt);
    EXPECT_EQ(plan.tile_order, (std::vector<Path>{kSubgroup, kDot4, kScalar}));
    EXPECT_EQ(plan.matrix_order, (std::vector<Path>{kDot4, kSubgroup, kScalar})) << "for a few tokens";
    EXPECT_EQ(make_plan(caps, kDot4).tile_order, (std::vector<Path>{kDot4, kScalar}));
    caps.type = VK_PHYSICAL_DEVICE_TYPE_CPU;
    EXPECT_EQ(make_plan(caps, std::nullopt).tile_order, (std::vector<Path>{kDot4, kSubgroup, kScalar}))
        << "as measured on lavapipe and SwiftShader";
}

DeviceCaps amd(std::initializer_list<const char*> extensions) {
    DeviceCaps caps = with_matrices(64, {float16_shape(16, 16, 16), int8_shape(16, 16, 16)});
    caps.vendor_id = 0x1002;
    caps.min_subgroup_size = 32;
    caps.max_shared_memory = 65536;
    caps.extensions.insert(caps.extensions.end(), extensions.begin(), extensions.end());
    return caps;
}

TEST(GpuPlan, Int8MatricesComeFirstOnRdna4AndNvidia) {
    using enum Path;
    const std::vector<Path> int8_first{kCoopmatInt8, kCoopmat, kDot4, kSubgroup, kScalar};
    const std::vector<Path> float16_first{kCoopmat, kCoopmatInt8, kDot4, kSubgroup, kScalar};
    EXPECT_EQ(make_plan(amd({"VK_EXT_shader_float8"}), std::nullopt).tile_order, int8_first);
    EXPECT_EQ(make_plan(amd({}), std::nullopt).tile_order, float16_first);
    DeviceCaps caps = nvidia();
    EXPECT_EQ(make_plan(caps, std::nullopt).tile_order, int8_first);
    caps.vendor_id = 0x1234;
    EXPECT_EQ(make_plan(caps, std::nullopt).tile_order, float16_first);
}

TEST(GpuPlan, ArcAlchemistTakesDotProductsBeforeMatrices) {
    using enum Path;
    DeviceCaps caps = with_matrices(16, {float16_shape(8, 8, 16), int8_shape(8, 8, 32)});
    caps.vendor_id = 0x8086;
    EXPECT_EQ(make_plan(caps, std::nullopt).tile_order.front(), kDot4);
    caps.matrices.shapes = {float16_shape(8, 16, 16), int8_shape(8, 16, 32)};
    EXPECT_EQ(make_plan(caps, std::nullopt).tile_order.front(), kCoopmat);
}

TEST(GpuPlan, SubgroupSizesAreOfAKernelsClass) {
    const DeviceCaps caps = amd({});
    const DevicePlan plan = make_plan(caps, std::nullopt);
    EXPECT_TRUE(plan.require_subgroup_size);
    EXPECT_EQ(plan.subgroup_size, 64);
    EXPECT_EQ(plan.product_subgroup_size, 64);
    EXPECT_EQ(plan.team_subgroup_size, 32);
    EXPECT_EQ(plan.matrix_subgroup_size, 32);
    expect_sane(caps, plan, Path::kCoopmat);
    EXPECT_TRUE(matrix_plan(plan, Path::kCoopmat).dense.bytes_as_halves);
    EXPECT_FALSE(matrix_plan(make_plan(nvidia(), std::nullopt), Path::kCoopmat).dense.bytes_as_halves);
}

TEST(GpuPlan, RegistersAreOfAVendor) {
    const DevicePlan usual = make_plan(nvidia(), std::nullopt);
    EXPECT_EQ(usual.attention.queries, 8u);
    EXPECT_FALSE(usual.registers.shared_tables);
    EXPECT_TRUE(make_plan(amd({}), std::nullopt).registers.shared_tables);

    DeviceCaps apple = invented_gpu();
    apple.driver_id = VK_DRIVER_ID_MESA_HONEYKRISP;
    const DevicePlan plan = make_plan(apple, std::nullopt);
    EXPECT_LT(plan.registers.batch.usual, usual.registers.batch.usual);
    EXPECT_LT(plan.registers.two_row_tokens, usual.registers.two_row_tokens);
    EXPECT_LT(plan.attention.packed_queries, plan.attention.queries);

    DeviceCaps intel = invented_gpu();
    intel.vendor_id = kIntel;
    intel.subgroup_size_control = true;
    intel.max_subgroup_size = 32;
    intel.min_subgroup_size = 16;  // Xe2: registers of twice the width
    EXPECT_EQ(make_plan(intel, std::nullopt).attention.queries, 4u);
    intel.min_subgroup_size = 8;
    EXPECT_EQ(make_plan(intel, std::nullopt).attention.queries, 1u);
    EXPECT_EQ(make_plan(intel, std::nullopt).attention.packed_value_rows, 2u);
}

TEST(GpuPlan, StagedTilesFitTheirDevice) {
    for (const uint32_t vendor : {0x1002u, 0x8086u, 0x10deu, 0u})
        for (const uint32_t shared_memory : {16384u, 24576u, 32768u, 65536u})
            for (const uint32_t invocations : {128u, 256u, 1024u})
                for (const Path path : {Path::kDot4, Path::kSubgroup}) {
                    DeviceCaps caps = invented_gpu();
                    caps.vendor_id = vendor;
                    caps.max_shared_memory = shared_memory;
                    caps.max_workgroup_invocations = invocations;
                    const DevicePlan plan = make_plan(caps, std::nullopt);
                    for (const StagedTile& tile :
                         {tile_plan(plan, path).dense, tile_plan(plan, path).experts}) {
                        EXPECT_LE(TilePlan::shared_memory(path, tile), shared_memory);
                        EXPECT_LE(tile.workgroup_size, invocations);
                        ASSERT_NE(tile.row_lanes, 0u);
                        EXPECT_EQ(tile.workgroup_size % tile.row_lanes, 0u);
                        EXPECT_EQ(8 % tile.words, 0u) << "a run has 8; a half of 4 may take all at once";
                        EXPECT_GE(tile.tile_rows() * tile.tile_tokens(), 32u * 32u);
                    }
                }
    DeviceCaps caps = invented_gpu();
    caps.vendor_id = 0x1002;
    EXPECT_EQ(tile_plan(make_plan(caps, std::nullopt), Path::kDot4).dense.tile_rows(), 64);
    EXPECT_EQ(tile_plan(make_plan(caps, std::nullopt), Path::kSubgroup).dense.workgroup_size, 256);
    caps.max_subgroups_per_workgroup = 4;
    EXPECT_LE(tile_plan(make_plan(caps, std::nullopt), Path::kSubgroup).dense.workgroup_size, 128);
    caps.type = VK_PHYSICAL_DEVICE_TYPE_CPU;
    EXPECT_EQ(tile_plan(make_plan(caps, std::nullopt), Path::kDot4).dense, (StagedTile{64, 4, 4, 8, 1}));
}

TEST(GpuPlan, IntelsTilesFitItsRegisters) {
    DeviceCaps caps = nvidia();
    caps.vendor_id = kIntel;
    caps.subgroup_size = 16;
    caps.max_subgroup_size = 32;
    caps.subgroup_size_control = true;
    caps.matrices.shapes = {float16_shape(8, 8, 16)};
    const auto most_tokens = [&] {
        const DevicePlan plan = make_plan(caps, std::nullopt);
        const MatrixPlan& tiles = matrix_plan(plan, Path::kCoopmat);
        uint32_t most = tiles.dense.tile_tokens();
        for (const MatrixTile& tile : tiles.others) most = std::max(most, tile.tile_tokens());
        return most / tiles.dense.tile_tokens();
    };
    caps.min_subgroup_size = 16;
    EXPECT_EQ(most_tokens(), 4u);
    caps.min_subgroup_size = 8;
    EXPECT_EQ(make_plan(caps, std::nullopt).matrix_subgroup_size, 8u);
    EXPECT_EQ(most_tokens(), 1u) << "64 tokens spill";

    const auto words = [&] { return tile_plan(make_plan(caps, std::nullopt), Path::kDot4).experts.words; };
    caps.integer_dot_accelerated = true;
    EXPECT_EQ(words(), 2u);
    caps.integer_dot_accelerated = false;
    EXPECT_EQ(words(), 1u);
}

TEST(GpuPlan, CpuDriversWithScalarLoadsTakeARowForEachLane) {
    using enum Path;
    DeviceCaps cpu = invented_gpu();
    cpu.type = VK_PHYSICAL_DEVICE_TYPE_CPU;
    cpu.driver_id = VK_DRIVER_ID_MESA_LLVMPIPE;
    cpu.driver_version = VK_MAKE_API_VERSION(0, 26, 2, 6);
    cpu.subgroup_size = cpu.min_subgroup_size = cpu.max_subgroup_size = 8;
    const DevicePlan plan = make_plan(cpu, std::nullopt);
    EXPECT_EQ(plan.path_order, (std::vector<Path>{kDot4, kSubgroup, kScalar}));
    EXPECT_EQ(plan.matrix_order, (std::vector<Path>{kScalar, kDot4, kSubgroup}));
    EXPECT_EQ(plan.tile_order, plan.matrix_order);
    EXPECT_EQ(plan.registers.scalar_workgroup, 8u);
    EXPECT_EQ(plan.registers.few_tokens, 1u);
    EXPECT_EQ(make_plan(cpu, kDot4).matrix_order, (std::vector<Path>{kDot4, kScalar}));
    EXPECT_EQ(make_plan(cpu, kScalar).registers.tile_tokens, plan.registers.tile_tokens) << "forced or not";
    cpu.subgroup_size = cpu.min_subgroup_size = cpu.max_subgroup_size = 32;
    EXPECT_EQ(make_plan(cpu, std::nullopt).matrix_order, make_plan(cpu, std::nullopt).path_order);
    cpu.subgroup_size = cpu.min_subgroup_size = cpu.max_subgroup_size = 8;
    cpu.driver_version = VK_MAKE_API_VERSION(0, 25, 0, 7);
    EXPECT_EQ(make_plan(cpu, std::nullopt).matrix_order, make_plan(cpu, std::nullopt).path_order)
        << "loads for each lane";
    const DevicePlan gpu = make_plan(invented_gpu(), std::nullopt);
    EXPECT_EQ(gpu.matrix_order, gpu.path_order);
    EXPECT_EQ(gpu.registers.few_tokens, 8u);
}

TEST(GpuPlan, AForcedPathOfMatricesLeavesTheOthersInTheirOrder) {
    using enum Path;
    const DevicePlan plan = make_plan(nvidia2(), kCoopmat);
    EXPECT_EQ(plan.path_order, (std::vector<Path>{kCoopmat, kDot4, kSubgroup, kScalar}));
    EXPECT_TRUE(plan.uses("VK_KHR_cooperative_matrix"));
    EXPECT_FALSE(plan.uses("VK_NV_cooperative_matrix2")) << "nothing that is enabled uses it";
    EXPECT_EQ(missing_for(plan, kCoopmat2), "") << "the device could";
    EXPECT_FALSE(make_plan(nvidia2(), kDot4).uses("VK_KHR_cooperative_matrix"));
    expect_error(ErrorCode::kUnsupported, {"Invented GPU", "coopmat2", "VK_NV_cooperative_matrix2"},
                 [&] { make_plan(nvidia(), kCoopmat2); });
    DeviceCaps cpu = nvidia2();
    cpu.type = VK_PHYSICAL_DEVICE_TYPE_CPU;
    EXPECT_TRUE(make_plan(cpu, std::nullopt).registers.all_experts);
    EXPECT_TRUE(make_plan(cpu, kDot4).registers.all_experts);
    EXPECT_FALSE(make_plan(cpu, kCoopmat).registers.all_experts) << "its experts would be dot4's";
}

TEST(GpuPlan, FlexibleMatricesAreOfAWorkgroupWhereTheDeviceCan) {
    const DeviceCaps whole = nvidia2();
    const DevicePlan plan = make_plan(whole, std::nullopt);
    EXPECT_TRUE(plan.uses("VK_NV_cooperative_matrix2"));
    expect_sane(whole, plan, Path::kCoopmat2);
    const MatrixPlan& matrices = matrix_plan(plan, Path::kCoopmat2);
    EXPECT_TRUE(matrices.dense.workgroup_scope);
    EXPECT_EQ(matrices.dense.workgroup_size, 256);
    EXPECT_EQ(matrices.dense.tile_rows(), 128);
    EXPECT_EQ(matrices.experts.tile_tokens(), 32);

    DeviceCaps parts = nvidia2();
    parts.matrices.workgroup_scope = false;
    parts.matrices.flexible_shapes.push_back(float16_shape(8, 8, 8));
    const DevicePlan parts_plan = make_plan(parts, std::nullopt);
    const MatrixPlan& subgroups = matrix_plan(parts_plan, Path::kCoopmat2);
    EXPECT_FALSE(subgroups.dense.workgroup_scope);
    EXPECT_EQ(subgroups.dense.m, 32);
    EXPECT_EQ(subgroups.dense.row_matrices, 1);
    expect_sane(parts, parts_plan, Path::kCoopmat2);
}

TEST(GpuPlan, TilesShrinkWithSharedMemoryAndWorkgroups) {
    const MatrixTile wide = matrix_plan(make_plan(nvidia(), std::nullopt), Path::kCoopmat).dense;
    EXPECT_EQ(wide.tile_rows(), 64);
    EXPECT_EQ(wide.tile_tokens(), 64);
    DeviceCaps small = nvidia();
    small.max_shared_memory = 19000;
    const DevicePlan plan = make_plan(small, std::nullopt);
    EXPECT_EQ(missing_for(plan, Path::kCoopmat), "");
    EXPECT_LT(matrix_plan(plan, Path::kCoopmat).dense.tile_rows() * wide.tile_tokens(), 64u * 64u);
    expect_sane(small, plan, Path::kCoopmat);
    DeviceCaps few = nvidia();
    few.max_subgroups_per_workgroup = 2;
    EXPECT_EQ(matrix_plan(make_plan(few, std::nullopt), Path::kCoopmat).dense.workgroup_size, 64);
    DeviceCaps flexible = nvidia2();
    flexible.max_shared_memory = 24576;
    expect_sane(flexible, make_plan(flexible, std::nullopt), Path::kCoopmat2);
    EXPECT_LT(matrix_plan(make_plan(flexible, std::nullopt), Path::kCoopmat2).dense.m, 128);
    // Tiles of more tokens come last, where there is room for them.
    const auto most_tokens = [](const DeviceCaps& caps) {
        return matrix_plan(make_plan(caps, std::nullopt), Path::kCoopmat).others.back().tile_tokens();
    };
    EXPECT_EQ(most_tokens(nvidia()), 128u);
    small.max_shared_memory = 24576;
    EXPECT_LT(most_tokens(small), 64u);
}

TEST(GpuPlan, SaysWhatAPathOfMatricesLacks) {
    const auto lacks = [](Path path, const std::string& name, auto remove) {
        DeviceCaps caps = nvidia2();
        remove(caps);
        const DevicePlan plan = make_plan(caps, std::nullopt);
        EXPECT_NE(missing_for(plan, path).find(name), std::string::npos)
            << path_name(path) << " lacks " << missing_for(plan, path);
        EXPECT_EQ(std::find(plan.path_order.begin(), plan.path_order.end(), path), plan.path_order.end());
    };
    using enum Path;
    lacks(kCoopmat, "VK_KHR_cooperative_matrix", [](DeviceCaps& caps) { caps.extensions.clear(); });
    lacks(kCoopmat, "cooperativeMatrix", [](DeviceCaps& caps) { caps.matrices.cooperative_matrix = false; });
    lacks(kCoopmat, "compute", [](DeviceCaps& caps) { caps.matrices.in_compute = false; });
    lacks(kCoopmat, "vulkanMemoryModel", [](DeviceCaps& caps) { caps.vulkan_memory_model = false; });
    lacks(kCoopmat, "DeviceScope", [](DeviceCaps& caps) { caps.vulkan_memory_model_device_scope = false; });
    lacks(kCoopmat, "shaderFloat16", [](DeviceCaps& caps) { caps.float16 = false; });
    lacks(kCoopmatInt8, "shaderInt8", [](DeviceCaps& caps) { caps.int8 = false; });
    lacks(kCoopmat, "computeFullSubgroups", [](DeviceCaps& caps) { caps.full_subgroups = false; });
    lacks(kCoopmat, "subgroupSizeControl", [](DeviceCaps& caps) {
        caps.min_subgroup_size = 16;
        caps.subgroup_size_control = false;
    });
    lacks(kCoopmat, "float16 operands",
          [](DeviceCaps& caps) { caps.matrices.shapes = {int8_shape(16, 16, 32)}; });
    lacks(kCoopmat, "float16 operands",
          [](DeviceCaps& caps) { caps.matrices.shapes = {float16_shape(16, 16, 64)}; });
    lacks(kCoopmatInt8, "int8 operands",
          [](DeviceCaps& caps) { caps.matrices.shapes = {float16_shape(16, 16, 16)}; });
    lacks(kCoopmat, "shared memory", [](DeviceCaps& caps) {
        caps.max_shared_memory = 16384;
        caps.matrices.shapes = {float16_shape(128, 128, 16)};
    });
    lacks(kCoopmat2, "VK_NV_cooperative_matrix2", [](DeviceCaps& caps) { caps.extensions.pop_back(); });
    lacks(kCoopmat2, "FlexibleDimensions",
          [](DeviceCaps& caps) { caps.matrices.flexible_dimensions = false; });
    lacks(kCoopmat2, "PerElement", [](DeviceCaps& caps) { caps.matrices.per_element_operations = false; });
    lacks(kCoopmat2, "flexible", [](DeviceCaps& caps) { caps.matrices.workgroup_scope = false; });
    lacks(kCoopmat2, "limits", [](DeviceCaps& caps) { caps.matrices.max_flexible_dimension = 8; });
    lacks(kSubgroup, "subgroup vote", [](DeviceCaps& caps) { caps.subgroups_in_compute = false; });
    lacks(kCoopmat, "subgroup vote", [](DeviceCaps& caps) { caps.subgroups_in_compute = false; });
}

TEST(GpuPlan, PathNamesAreReadAsTheyAreWritten) {
    for (uint32_t i = 0; i < kPathCount; ++i)
        EXPECT_EQ(path_from_name(path_name(static_cast<Path>(i))), static_cast<Path>(i));
    EXPECT_FALSE(path_from_name("Scalar"));
}

}  // namespace
}  // namespace vkmoe
