#include "sched/recorder.h"

#include "base/error.h"
#include "kernels/row_test.h"
#include "kernels/scoped_variable.h"
#include "sched/hazards.h"
#include "unit/error_matching.h"

namespace vkmoe {
namespace {

Access read(uint64_t begin, uint64_t end) {
    return {AccessKind::kRead, {begin, end - begin}};
}
Access write(uint64_t begin, uint64_t end) {
    return {AccessKind::kWrite, {begin, end - begin}};
}

TEST(HazardTracker, OnlySharedBytesWithAWriteConflict) {
    HazardTracker tracker;
    const auto conflicts = [&tracker](std::vector<Access> accesses) { return tracker.conflicts(accesses); };
    const Access update{AccessKind::kUpdate, {100, 100}};
    EXPECT_FALSE(conflicts({read(100, 200), write(100, 200)}));
    tracker.add(std::vector{read(100, 200), write(200, 300), Access{}});
    EXPECT_FALSE(conflicts({read(100, 200)})) << "read after read";
    EXPECT_TRUE(conflicts({read(199, 300)})) << "read after write";
    EXPECT_TRUE(conflicts({write(100, 200)})) << "write after read";
    EXPECT_TRUE(conflicts({update})) << "update after read";
    EXPECT_TRUE(conflicts({write(200, 300)})) << "write after write";
    EXPECT_FALSE(conflicts({read(300, 400), write(0, 100), write(300, 301), Access{}}));
    tracker.clear();
    EXPECT_FALSE(conflicts({read(200, 300), write(100, 200)}));
    tracker.add(std::vector{update});
    EXPECT_TRUE(conflicts({read(100, 101)})) << "read after update";
}

class RecorderTest : public RowTest {
  protected:
    static constexpr uint32_t kColumns = 256;

    RecorderTest() : RowTest(kColumns) {}
};

TEST_F(RecorderTest, ABarrierStandsOnlyWhereAHazardIs) {
    const std::vector<float> row = random_row();
    const uint64_t input = upload(row).address;
    auto a = output<float>(kColumns);
    auto b = output<float>(kColumns);
    auto c = output<float>(kColumns);
    Recorder recorder(context().shared_device());
    recorder.add(add(input, input, a.address()));              // a = 2 x
    recorder.add(add(0, input, b.address()));                  // b = x: beside it
    recorder.add(add(a.address(), b.address(), c.address()));  // c = 3 x: waits
    recorder.add(add(0, a.address(), b.address()));            // b = 2 x: waits for its reader
    recorder.add(add(input, input, a.address()));              // a = 2 x: waits for its reader
    const std::unique_ptr<CommandBuffer> commands = recorder.finish();
    EXPECT_EQ(commands->dispatch_count(), 5);
    EXPECT_EQ(commands->barrier_count(), 3);
    scheduler().run(*commands);
    const auto times = [&row](float factor) {
        std::vector<float> scaled = row;
        for (float& value : scaled) value *= factor;
        return scaled;
    };
    EXPECT_EQ(a.read(), times(2));
    EXPECT_EQ(b.read(), times(2));
    EXPECT_EQ(c.read(), times(3));
}

TEST_F(RecorderTest, ACommandBufferIsReplayed) {
    const std::vector<float> row = random_row();
    const uint64_t addend = upload(row).address;
    auto sum = output<float>(kColumns);
    sum.fill(std::vector<float>(kColumns, 0.0f));
    Recorder recorder(context().shared_device());
    recorder.add(add(sum.address(), addend, sum.address()));
    recorder.add(add(sum.address(), addend, sum.address()));
    const std::unique_ptr<CommandBuffer> commands = recorder.finish();
    for (int i = 0; i < 100; ++i) scheduler().run(*commands);
    std::vector<float> expected = row;
    for (float& value : expected) value *= 200;
    EXPECT_EQ(sum.read(), expected);
}

TEST_F(RecorderTest, SubmissionsSeeWhatEarlierOnesWrote) {
    const uint64_t addend = upload(std::vector<float>(kColumns, 1.0f)).address;
    auto sum = output<float>(kColumns);
    sum.fill(std::vector<float>(kColumns, 0.0f));
    std::vector<std::unique_ptr<CommandBuffer>> buffers;
    uint64_t done = 0;
    for (int i = 0; i < 20; ++i) {
        Recorder recorder(context().shared_device());
        recorder.add(add(sum.address(), addend, sum.address()));
        buffers.push_back(recorder.finish());
        done = scheduler().submit(*buffers.back());
    }
    scheduler().wait(done);
    EXPECT_EQ(sum.read(), std::vector<float>(kColumns, 20.0f));
}

TEST_F(RecorderTest, CopiesAreOrderedWithDispatches) {
    const std::vector<float> row = random_row();
    const uint64_t input = upload(row).address;
    auto a = output<float>(kColumns);
    auto b = output<float>(kColumns);
    auto c = output<float>(kColumns);
    Recorder recorder(context().shared_device());
    recorder.add(add(0, input, a.address()));
    recorder.copy(a.memory(), b.memory());
    recorder.add(add(b.address(), a.address(), c.address()));
    recorder.copy(c.memory(), a.memory());
    const std::unique_ptr<CommandBuffer> commands = recorder.finish();
    EXPECT_EQ(commands->barrier_count(), 3);
    scheduler().run(*commands);
    std::vector<float> twice = row;
    for (float& value : twice) value *= 2;
    EXPECT_EQ(b.read(), row);
    EXPECT_EQ(c.read(), twice);
    EXPECT_EQ(a.read(), twice);
}

TEST_F(RecorderTest, GroupCountsAreReadFromMemory) {
    const std::vector<float> row = random_row();
    const uint64_t input = upload(row).address;
    auto counts = output<uint32_t>(3);
    auto sum = output<float>(kColumns);
    Dispatch dispatch = add(0, input, sum.address());
    const auto groups = dispatch.groups;
    const Allocation planned = upload(std::vector<uint32_t>(groups.begin(), groups.end()));
    dispatch.indirect = counts.memory();
    Recorder recorder(context().shared_device());
    recorder.copy(planned, counts.memory());
    recorder.add(dispatch);
    const std::unique_ptr<CommandBuffer> commands = recorder.finish();
    EXPECT_EQ(commands->barrier_count(), 1) << "the counts are read after they are written";
    scheduler().run(*commands);
    EXPECT_EQ(sum.read(), row);
}

TEST_F(RecorderTest, EmptyLaunchesAreLeftOutAndTooLargeOnesRefused) {
    const uint64_t input = upload(random_row()).address;
    auto sum = output<float>(kColumns);
    Dispatch dispatch = add(0, input, sum.address());
    Recorder recorder(context().shared_device());
    dispatch.groups = {0, 1, 1};
    recorder.add(dispatch);
    dispatch.groups = {1, 0xFFFFFFFF, 1};
    if (context().device().caps().max_workgroup_count[1] < 0xFFFFFFFF)
        expect_error(ErrorCode::kUnsupported, {dispatch.pipeline->name(), "4294967295"},
                     [&] { recorder.add(dispatch); });
    EXPECT_EQ(recorder.finish()->dispatch_count(), 0);
}

TEST_F(RecorderTest, ShufflingShowsAccessesThatAreNotNamed) {
    const std::vector<float> row = random_row();
    const uint64_t input = upload(row).address;
    auto a = output<float>(kColumns);
    auto b = output<float>(kColumns);
    auto c = output<float>(kColumns);
    // c = 2 x, by a dispatch, a copy and a dispatch that its group counts are read for.
    const auto twice = [&](bool names_accesses) {
        for (auto* memory : {&a, &b, &c}) memory->fill(std::vector<float>(kColumns, 0.0f));
        Dispatch first = add(0, input, a.address());
        Dispatch last = add(b.address(), a.address(), c.address());
        const Allocation counts = upload(std::vector<uint32_t>(last.groups.begin(), last.groups.end()));
        last.indirect = counts;
        constexpr size_t kSum = 5;  // among the accesses of combine
        if (!names_accesses) first = first.without_access(kSum);
        Recorder recorder(context().shared_device());
        recorder.add(first);
        recorder.copy(a.memory(), b.memory());
        recorder.add(last);
        const std::unique_ptr<CommandBuffer> commands = recorder.finish();
        EXPECT_EQ(commands->dispatch_count(), 2);
        EXPECT_EQ(commands->barrier_count(), names_accesses ? 2 : 1);
        scheduler().run(*commands);
        return c.read();
    };
    std::vector<float> expected = row;
    for (float& value : expected) value *= 2;
    int n_wrong = 0;
    for (int seed = 0; seed < 16; ++seed) {
        const ScopedVariable shuffled("VKMOE_SHUFFLE_DISPATCHES", std::to_string(seed).c_str());
        EXPECT_EQ(twice(true), expected) << "seed " << seed;
        n_wrong += twice(false) != expected;
    }
    EXPECT_GT(n_wrong, 0);
    EXPECT_LT(n_wrong, 16);
    const ScopedVariable reversed("VKMOE_SHUFFLE_DISPATCHES", "reversed");
    EXPECT_EQ(twice(true), expected);
    EXPECT_NE(twice(false), expected);
    const ScopedVariable no_seed("VKMOE_SHUFFLE_DISPATCHES", "often");
    expect_error(ErrorCode::kInvalidArgument, {"VKMOE_SHUFFLE_DISPATCHES", "often"},
                 [&] { Recorder recorder(context().shared_device()); });
}

TEST_F(RecorderTest, ProfilesRunsOfEqualLabels) {
    Device& device = context().device();
    if (!device.plan().timestamps) GTEST_SKIP() << "the device writes no timestamps";
    const uint64_t input = upload(random_row()).address;
    auto a = output<float>(kColumns);
    auto b = output<float>(kColumns);
    Profiler profiler(context().shared_device());
    Scheduler profiled(context().shared_device(), &profiler);
    Dispatch first = add(0, input, a.address());
    Dispatch second = add(0, input, b.address());
    first.label = "first";
    second.label = "second";
    Recorder recorder(context().shared_device(), &profiler);
    recorder.add(std::vector<Dispatch>{first, first, second, first});
    const std::unique_ptr<CommandBuffer> commands = recorder.finish();
    for (int i = 0; i < 3; ++i) profiled.run(*commands);
    uint64_t counts[2] = {};
    for (const Profiler::Region& region : profiler.regions()) {
        counts[region.label == "second"] += region.count;
        EXPECT_GE(region.milliseconds, 0);
        EXPECT_LT(region.milliseconds, 10000);
    }
    EXPECT_EQ(counts[0], 6);
    EXPECT_EQ(counts[1], 3);
    EXPECT_NE(profiler.table().find("second"), std::string::npos);
    profiler.reset();
    EXPECT_TRUE(profiler.regions().empty());
}

}  // namespace
}  // namespace vkmoe
