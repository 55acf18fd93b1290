#include "kernels/router_statistics.h"

#include "kernels/kernel_fixture.h"

#include <algorithm>

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kRouterStatistics);

using RouterStatisticsTest = KernelTest;

TEST_F(RouterStatisticsTest, TheSameBatchesGiveTheSameBits) {
    const uint32_t n_experts = 72;
    const uint32_t n_tokens = 100;
    std::vector<float> logits(n_experts * n_tokens);
    std::normal_distribution<float> normal(0, 3);
    std::generate(logits.begin(), logits.end(), [&] { return normal(random()); });
    std::vector<std::vector<float>> results;
    for (int run_index = 0; run_index < 2; ++run_index) {
        auto sums = output<float>(2 * n_experts);
        sums.fill(std::vector<float>(2 * n_experts));
        RouterStatisticsArgs args;
        args.logits = upload(logits).address;
        args.sums = sums.address();
        args.n_tokens = n_tokens;
        args.n_experts = n_experts;
        const Dispatch dispatch = router_statistics(context(), args);
        run({dispatch, dispatch});
        results.push_back(sums.read());
    }
    EXPECT_EQ(results[0], results[1]);
}

TEST_F(RouterStatisticsTest, RefusesWhatDoesNotFit) {
    RouterStatisticsArgs good;
    good.logits = 0x10000;
    good.sums = 0x20000;
    good.n_tokens = 1;
    good.n_experts = 8;
    const auto refused = refusing(router_statistics, good);
    refused([](RouterStatisticsArgs& args) { args.logits = 0; });
    refused([](RouterStatisticsArgs& args) { args.sums = 0x20004; });
    refused([](RouterStatisticsArgs& args) { args.n_tokens = 0; });
    refused([](RouterStatisticsArgs& args) { args.n_experts = 0; });
    refused([](RouterStatisticsArgs& args) { args.n_experts = 513; });
}

}  // namespace
}  // namespace vkmoe
