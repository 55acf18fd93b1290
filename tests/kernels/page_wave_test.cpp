#include "kernels/page_wave.h"

#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kPageWave);

using PageWaveTest = KernelTest;

TEST_F(PageWaveTest, OneOfTheDeepCases) {
    run_a_deep_case(Op::kPageWave);
}

TEST_F(PageWaveTest, RefusesWhatDoesNotFit) {
    PageWaveArgs good;
    good.ids = 0x10000;
    good.waves = 0x11000;
    good.wave_ids = 0x12000;
    good.arguments = 0x13000;
    good.n_pairs = 9;
    good.n_experts = 16;
    good.groups = {{1, 2, 3}, {4, 5, 6}};
    const auto refused = refusing(page_wave, good);
    refused([](PageWaveArgs& args) { args.ids = 0; });
    refused([](PageWaveArgs& args) { args.waves += 2; });
    refused([](PageWaveArgs& args) { args.wave_ids = 0; });
    refused([](PageWaveArgs& args) { args.arguments = 0; });
    refused([](PageWaveArgs& args) { args.n_pairs = 0; });
    refused([](PageWaveArgs& args) { args.n_experts = 0; });
    refused([](PageWaveArgs& args) { args.groups.resize(5); });
}

}  // namespace
}  // namespace vkmoe
