#include "kernels/page_batch.h"

#include "kernels/kernel_fixture.h"
#include "kernels/some_page_tables.h"

namespace vkmoe {
namespace {

const bool registered = register_cells(Op::kPageBatch);

using PageBatchTest = KernelTest;

TEST_F(PageBatchTest, OneOfTheDeepCases) {
    run_a_deep_case(Op::kPageBatch);
}

TEST_F(PageBatchTest, RefusesWhatDoesNotFit) {
    PageBatchArgs good;
    good.tables = kSomePageTables;
    good.ids = 0x10000;
    good.waves = 0x11000;
    good.copies = 0x12000;
    good.arguments = 0x13000;
    good.n_pairs = 9;
    good.copy_groups = 3;
    good.ring_first = 10;
    good.ring_slots = 4;
    good.wave_slots = 2;
    const auto refused = refusing(page_batch, good);
    refused([](PageBatchArgs& args) { args.n_pairs = 0; });
    refused([](PageBatchArgs& args) { args.layer = 2; });
    refused([](PageBatchArgs& args) { args.wave_slots = 0; });
    refused([](PageBatchArgs& args) { args.ring_slots = 3; });
    refused([](PageBatchArgs& args) { args.ring_first = 11; });
    refused([](PageBatchArgs& args) { args.copy_groups = 0; });
    refused([](PageBatchArgs& args) { args.copies += 8; });
    refused([](PageBatchArgs& args) { args.waves = 0; });
    refused([](PageBatchArgs& args) { args.tables.records = 0; });
}

TEST_F(PageBatchTest, CountsWavesAndTheOneOfSlots) {
    EXPECT_EQ(page_wave_count(64, 8), 9u);
    EXPECT_EQ(page_wave_count(65, 8), 10u);
    EXPECT_EQ(page_wave_count(1, 8), 2u);
}

}  // namespace
}  // namespace vkmoe
