// The test of the test: kernels with one mistake each, in place of the right ones, must fail whatever the
// seed.

#include "mutants.h"
#include "conformance/suite.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

namespace vkmoe::conformance {
namespace {

constexpr int kSeeds = 5;

class MutantTest : public testing::TestWithParam<size_t> {
  protected:
    const KernelBinary& mutant() const { return kMutants[GetParam()]; }
};

TEST_P(MutantTest, IsCaughtWhateverTheSeed) {
    KernelContext kernels(Device::create());
    kernels.replace(mutant());
    Bench bench(kernels);
    for (int i = 0; i < kSeeds; ++i) {
        const uint32_t seed = std::random_device{}();
        const CellResult result = run_cell(bench, mutant().key, Depth::kQuick, seed);
        ASSERT_FALSE(result.failures.empty())
            << mutant().name << " passes as " << cell_name(mutant().key) << " with seed " << seed;
        if (i == 0) fmt::print("{}: {}\n", result.failures[0].case_name, result.failures[0].message);
    }
}

TEST_P(MutantTest, WithoutItsMistakeItPasses) {
    KernelContext kernels(Device::create());
    Bench bench(kernels);
    const CellResult result = run_cell(bench, mutant().key, Depth::kQuick, std::random_device{}());
    EXPECT_EQ(outcome(result), Outcome::kOk) << cell_name(mutant().key);
}

INSTANTIATE_TEST_SUITE_P(Mutants, MutantTest, testing::Range(size_t{0}, std::size(kMutants)),
                         [](const auto& param) { return std::string(kMutants[param.param].name); });

}  // namespace
}  // namespace vkmoe::conformance
