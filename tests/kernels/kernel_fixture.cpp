#include "kernels/kernel_fixture.h"

#include "conformance/suite.h"
#include "long_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <span>
#include <string>

namespace vkmoe {
namespace {

uint32_t make_seed() {
    const char* wanted = std::getenv("VKMOE_TEST_SEED");
    if (wanted != nullptr) return static_cast<uint32_t>(std::strtoul(wanted, nullptr, 10));
    return std::random_device{}();
}

/// Device, pipelines and scheduler of the process. Gone before main returns: drivers and layers do not like
/// to be called while a process ends.
class GpuEnvironment : public testing::Environment {
  public:
    struct Gpu {
        KernelContext context{Device::create()};
        conformance::Bench bench{context};
        std::vector<Path> paths = make_plan(context.device().caps(), std::nullopt).path_order;
    };
    Gpu& gpu() {
        if (gpu_ == nullptr) gpu_ = std::make_unique<Gpu>();
        return *gpu_;
    }
    void TearDown() override { gpu_.reset(); }

  private:
    std::unique_ptr<Gpu> gpu_;
};

// GoogleTest wants it before the tests start, and owns it.
auto* const environment =
    static_cast<GpuEnvironment*>(testing::AddGlobalTestEnvironment(new GpuEnvironment()));

GpuEnvironment::Gpu& gpu() {
    return environment->gpu();
}

class CellTest : public testing::Test {
  public:
    explicit CellTest(const KernelKey& cell) : cell_(cell) {}

    void TestBody() override {
        const uint32_t seed = make_seed();
        const conformance::CellResult result =
            conformance::run_cell(gpu().bench, cell_, conformance::Depth::kQuick, seed);
        if (!result.missing.empty()) GTEST_SKIP() << "the device lacks " << result.missing;
        EXPECT_GT(result.n_cases, 0u) << "nothing is tried of this cell";
        for (const conformance::CaseFailure& failure : result.failures)
            ADD_FAILURE() << failure.case_name << " (VKMOE_TEST_SEED=" << seed << "): " << failure.message;
    }

  private:
    KernelKey cell_;
};

}  // namespace

KernelTest::KernelTest() : KernelTest(make_seed()) {}

KernelTest::KernelTest(uint32_t seed)
    : seed_trace_(__FILE__, __LINE__, fmt::format("VKMOE_TEST_SEED={}", seed)), case_(gpu().bench, seed) {}

KernelTest::~KernelTest() = default;

std::vector<Path> KernelTest::paths(Op op, TensorType type) {
    std::vector<Path> found;
    for (Path path : gpu().paths)
        for (const KernelBinary& cell : kernel_table())
            if (cell.key == KernelKey{op, type, path}) found.push_back(path);
    EXPECT_FALSE(found.empty()) << "no kernel was built for " << op_name(op) << " of "
                                << tensor_type_info(type).name;
    return found;
}

void KernelTest::run_a_deep_case(Op op) {
    std::vector<KernelKey> cells;
    for (const KernelBinary& binary : kernel_table())
        if (binary.key.op == op && missing_for_kernels(context().plan(), binary.key.path).empty())
            cells.push_back(binary.key);
    ASSERT_FALSE(cells.empty()) << "no kernel was built for " << op_name(op);
    const KernelKey cell = cells[random()() % cells.size()];
    const std::vector<conformance::Case> quick = conformance::cases_of(cell, conformance::Depth::kQuick);
    std::vector<conformance::Case> deep = conformance::cases_of(cell, conformance::Depth::kFull);
    std::erase_if(deep, [&](const conformance::Case& full) {
        return std::ranges::any_of(quick, [&](const auto& other) { return other.name == full.name; });
    });
    ASSERT_FALSE(deep.empty()) << conformance::cell_name(cell) << " has no deep cases";
    const conformance::Case& one = deep[random()() % deep.size()];
    SCOPED_TRACE(fmt::format("{}: {}", conformance::cell_name(cell), one.name));
    try {
        one.run(case_);
    } catch (const conformance::CheckFailure& failure) {
        FAIL() << failure.what();
    } catch (const conformance::CaseSkipped& skipped) {
        GTEST_SKIP() << skipped.what();
    }
}

namespace {

void register_cell(const KernelKey& cell) {
    const std::string name = fmt::format("{}/{}", tensor_type_info(cell.type).name, path_name(cell.path));
    testing::RegisterTest(std::string(op_name(cell.op)).c_str(), name.c_str(), nullptr, nullptr, __FILE__,
                          __LINE__, [cell]() -> testing::Test* { return new CellTest(cell); });
}

std::map<TensorType, std::vector<KernelKey>> cells_by_type(Op op) {
    std::map<TensorType, std::vector<KernelKey>> cells;
    for (const KernelBinary& binary : kernel_table())
        if (binary.key.op == op) cells[binary.key.type].push_back(binary.key);
    return cells;
}

}  // namespace

bool register_cells(Op op) {
    for (const auto& [type, cells] : cells_by_type(op))
        for (const KernelKey& cell : cells) register_cell(cell);
    return true;
}

bool register_cells_in_turn(Op op) {
    if (is_long_form()) return register_cells(op);
    size_t turn = 0;
    for (auto& [type, cells] : cells_by_type(op)) {
        const auto others =
            std::ranges::partition(cells, [](const KernelKey& cell) { return uses_matrices(cell.path); });
        for (const KernelKey& cell : std::span(cells.begin(), others.begin())) register_cell(cell);
        register_cell(others[turn++ % others.size()]);
    }
    return true;
}

}  // namespace vkmoe
