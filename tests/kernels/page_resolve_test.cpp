#include "kernels/page_resolve.h"

#include "kernels/kernel_fixture.h"
#include "kernels/some_page_tables.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kPageResolve);

using PageResolveTest = KernelTest;

TEST_F(PageResolveTest, OneOfTheDeepCases) {
    run_a_deep_case(Op::kPageResolve);
}

PageResolveArgs good_args() {
    PageResolveArgs args;
    args.tables = kSomePageTables;
    args.ids = 0x10000;
    args.predicted = 0x11000;
    args.probabilities = 0x12000;
    args.hit_ids = 0x13000;
    args.miss_ids = 0x14000;
    args.copies = 0x15000;
    args.arguments = 0x16000;
    args.n_pairs = 4;
    args.n_predicted = 6;
    args.copy_groups = 3;
    args.miss_groups = {5, 1, 1};
    return args;
}

TEST_F(PageResolveTest, NamesWhatItReadsAndWrites) {
    const Dispatch dispatch = page_resolve(context(), good_args());
    const auto bytes_at = [](const std::vector<AddressRange>& ranges, uint64_t begin) -> uint64_t {
        for (const AddressRange& range : ranges)
            if (range.begin == begin) return range.end - range.begin;
        return 0;
    };
    // Read and changed: header, slots, experts. Only read: addresses, layers, where records are.
    for (const auto& [address, bytes] : {std::pair{0x2000, 80}, {0x4000, 10 * 4}, {0x5000, 2 * 16 * 8}}) {
        EXPECT_EQ(bytes_at(dispatch.reads, address), bytes);
        EXPECT_EQ(bytes_at(dispatch.writes, address), bytes);
    }
    for (const auto& [address, bytes] : {std::pair{0x1000, 72},
                                         {0x3000, 2 * 16},
                                         {0x6000, 14 * 8},
                                         {0x7000, 2 * 16 * 8},
                                         {0x10000, 4 * 4},
                                         {0x11000, 6 * 4},
                                         {0x12000, 6 * 4}}) {
        EXPECT_EQ(bytes_at(dispatch.reads, address), bytes);
        EXPECT_EQ(bytes_at(dispatch.writes, address), 0);
    }
    for (const auto& [address, bytes] : {std::pair{0x8000, 2 * 16 * 8},
                                         {0x13000, 4 * 4},
                                         {0x14000, 4 * 4},
                                         {0x15000, 10 * 32},
                                         {0x16000, 36}})
        EXPECT_EQ(bytes_at(dispatch.writes, address), bytes);
}

TEST_F(PageResolveTest, RefusesWhatDoesNotFit) {
    const auto refused = refusing(page_resolve, good_args());
    refused([](PageResolveArgs& args) { args.layer = 2; });
    refused([](PageResolveArgs& args) { args.n_pairs = 0; });
    refused([](PageResolveArgs& args) { args.n_pairs = 257; });
    refused([](PageResolveArgs& args) { args.n_predicted = 33; });
    refused([](PageResolveArgs& args) { args.predicted = 0; });
    refused([](PageResolveArgs& args) { args.probabilities = 0; });
    refused([](PageResolveArgs& args) { args.copy_groups = 0; });
    refused([](PageResolveArgs& args) { args.copies += 8; });
    refused([](PageResolveArgs& args) { args.hit_ids = 0; });
    refused([](PageResolveArgs& args) { args.arguments = 0; });
    refused([](PageResolveArgs& args) { args.tables.n_experts = 513; });
    refused([](PageResolveArgs& args) { args.tables.n_places = 9; });
    refused([](PageResolveArgs& args) { args.tables.header = 0; });
    refused([](PageResolveArgs& args) { args.tables.experts += 4; });
}

TEST_F(PageResolveTest, WantsNoLookAheadWithoutPredictions) {
    PageResolveArgs args = good_args();
    args.n_predicted = 0;
    args.predicted = 0;
    args.probabilities = 0;
    EXPECT_NO_THROW(page_resolve(context(), args));
}

}  // namespace
}  // namespace vkmoe
