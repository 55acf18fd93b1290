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
    using enum AccessKind;
    const std::vector<Access> expected = {{kRead, {0x1000, 72}},            // addresses
                                          {kUpdate, {0x2000, 80}},          // header
                                          {kRead, {0x3000, 2 * 16}},        // layers
                                          {kUpdate, {0x4000, 10 * 4}},      // slots
                                          {kUpdate, {0x5000, 2 * 16 * 8}},  // experts
                                          {kRead, {0x6000, 14 * 8}},        // where slots are
                                          {kRead, {0x7000, 2 * 16 * 8}},   // where records are in host memory
                                          {kWrite, {0x8000, 2 * 16 * 8}},  // and for the experts' kernels
                                          {kRead, {0x10000, 4 * 4}},       {kRead, {0x11000, 6 * 4}},
                                          {kRead, {0x12000, 6 * 4}},       {kWrite, {0x13000, 4 * 4}},
                                          {kWrite, {0x14000, 4 * 4}},      {kWrite, {0x15000, 10 * 32}},
                                          {kWrite, {0x16000, 36}}};
    EXPECT_TRUE(std::ranges::equal(dispatch.accesses(), expected));
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
