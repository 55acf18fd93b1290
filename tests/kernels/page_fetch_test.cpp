#include "kernels/page_fetch.h"

#include "kernels/kernel_fixture.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kPageFetch);

using PageFetchTest = KernelTest;

TEST_F(PageFetchTest, OneOfTheDeepCases) {
    run_a_deep_case(Op::kPageFetch);
}

TEST_F(PageFetchTest, TellsWhatItReadsAndWrites) {
    const Allocation arguments = upload(std::vector<uint32_t>{4, 2, 1});
    PageFetchArgs args;
    args.copies = 0x10000;
    args.max_copies = 3;
    args.from = {0x20000, 0x10000};
    args.to = {0x50000, 0x20000};
    args.indirect = arguments;
    const Dispatch dispatch = page_fetch(context(), args);
    const std::vector<Access> expected = {{AccessKind::kRead, {args.copies, 3 * sizeof(PageCopy)}},
                                          {AccessKind::kRead, args.from},
                                          {AccessKind::kWrite, args.to}};
    EXPECT_TRUE(std::ranges::equal(dispatch.accesses(), expected));
    EXPECT_EQ(dispatch.indirect.address, arguments.address);
    args.to = {};
    EXPECT_TRUE(page_fetch(context(), args).accesses()[2].memory.is_absent())
        << "the caller sees to the slots";
}

TEST_F(PageFetchTest, GroupsGrowWithTheRecordUpToALimit) {
    const auto groups = [this](uint32_t units) { return page_copy_groups(context().device(), units); };
    EXPECT_EQ(groups(1), 1u);
    EXPECT_EQ(groups(4096), 1u);
    EXPECT_EQ(groups(4097), 2u);
    EXPECT_EQ(groups(UINT32_MAX), groups(1u << 20));
    for (uint32_t units = 1; units < 1u << 24; units *= 3) EXPECT_LE(groups(units), groups(units * 3));
}

TEST_F(PageFetchTest, RefusesWhatDoesNotFit) {
    const Allocation arguments = upload(std::vector<uint32_t>(4));
    PageFetchArgs good;
    good.copies = 0x10000;
    good.max_copies = 3;
    good.from = {0x20000, 0x10000};
    good.to = {0x50000, 0x10000};
    good.groups = 2;
    const auto refused = refusing(page_fetch, good);
    refused([](PageFetchArgs& args) { args.copies = 0; });
    refused([](PageFetchArgs& args) { args.copies += 8; });
    refused([](PageFetchArgs& args) { args.max_copies = 0; });
    const GridSize most = context().most_groups();
    refused([=](PageFetchArgs& args) { args.max_copies = most.y + 1; });
    refused([](PageFetchArgs& args) { args.groups = 0; });
    refused([=](PageFetchArgs& args) { args.groups = most.x + 1; });
    refused([](PageFetchArgs& args) { args.from.address += 4; });
    refused([](PageFetchArgs& args) { args.to.address -= 4; });
    refused([](PageFetchArgs& args) { args.tuning.in_flight = 17; });
    refused([](PageFetchArgs& args) { args.tuning.workgroup_size = 1u << 20; });
    refused([&](PageFetchArgs& args) { args.indirect = arguments.slice(0, 8); });
    refused([&](PageFetchArgs& args) { args.indirect = arguments.slice(2, 12); });
}

}  // namespace
}  // namespace vkmoe
