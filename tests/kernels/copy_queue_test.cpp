#include "gpu/copy_queue.h"

#include "kernels/row_test.h"

#include <array>

namespace vkmoe {
namespace {

/// Each way of copying: by the transfer queue, where there is one, and by the compute queue.
class CopyQueueTest : public RowTest, public testing::WithParamInterface<CopyQueue::Queue> {
  protected:
    static constexpr uint32_t kColumns = 4096;

    CopyQueueTest() : RowTest(kColumns), copies_(context().shared_device(), GetParam()) {}

    std::unique_ptr<CommandBuffer> record(std::initializer_list<Dispatch> dispatches) {
        Recorder recorder(context().shared_device());
        for (const Dispatch& dispatch : dispatches) recorder.add(dispatch);
        return recorder.finish();
    }

    CopyQueue copies_;
};

TEST_P(CopyQueueTest, CopiesPieces) {
    const std::vector<float> first = random_row();
    const std::vector<float> second = random_row();
    const Allocation from_first = upload(first);
    const Allocation from_second = upload(second);
    auto a = output<float>(kColumns);
    auto b = output<float>(kColumns);
    scheduler();  // the inputs are there
    const uint64_t half = kColumns / 2 * sizeof(float);
    const std::array<BufferCopy, 4> batch{{{from_first.slice(0, half), a.memory().slice(half, half)},
                                           {from_first.slice(half, half), a.memory().slice(0, half)},
                                           {from_second, b.memory()},
                                           {}}};
    copies_.wait(copies_.submit(batch));
    std::vector<float> turned(first.begin() + kColumns / 2, first.end());
    turned.insert(turned.end(), first.begin(), first.begin() + kColumns / 2);
    EXPECT_EQ(a.read(), turned);
    EXPECT_EQ(b.read(), second);
}

TEST_P(CopyQueueTest, NothingToCopyIsDoneAtOnce) {
    EXPECT_EQ(copies_.submit({}), 0u);
    const Allocation from = upload(random_row());
    auto to = output<float>(kColumns);
    scheduler();
    const std::array<BufferCopy, 1> batch{{{from, to.memory()}}};
    const uint64_t done = copies_.submit(batch);
    EXPECT_EQ(copies_.submit({}), done);
    copies_.wait(done);
    EXPECT_EQ(copies_.timeline().reached(), done);
}

TEST_P(CopyQueueTest, BatchesRunInOrderAndMoreOfThemThanTheRingHolds) {
    constexpr uint32_t kPieces = 3 * CopyQueue::kBatches;
    std::vector<uint32_t> values(kPieces * 64);
    for (uint32_t& value : values) value = static_cast<uint32_t>(random()());
    const Allocation from = upload(values);
    auto to = output<uint32_t>(values.size());
    scheduler();
    // Each batch hands on what the one before it brought.
    uint64_t done = 0;
    for (uint32_t i = 0; i < kPieces; ++i) {
        const std::array<BufferCopy, 1> batch{
            {{i == 0 ? from.slice(0, 256) : to.memory().slice((i - 1) * 256, 256),
              to.memory().slice(i * 256, 256)}}};
        const uint64_t value = copies_.submit(batch);
        EXPECT_GT(value, done);
        done = value;
    }
    copies_.wait(done);
    const std::vector<uint32_t> got = to.read();
    for (uint32_t i = 0; i < kPieces * 64; ++i) ASSERT_EQ(got[i], values[i % 64]) << i;
}

/// Rounds of: kernels read a slot and add to a sum, then the slot gets its next record. Each waits for the
/// other by the timelines alone.
TEST_P(CopyQueueTest, TakesTurnsWithKernelsByTimelines) {
    constexpr uint32_t kRounds = 40;
    std::vector<std::vector<float>> records;
    std::vector<Allocation> from;
    std::vector<float> expected(kColumns, 0.0f);
    for (uint32_t i = 0; i < kRounds; ++i) {
        records.push_back(random_row());
        from.push_back(upload(records.back()));
        for (uint32_t column = 0; column < kColumns; ++column) expected[column] += records[i][column];
    }
    auto slot = output<float>(kColumns);
    auto sum = output<float>(kColumns);
    sum.fill(std::vector<float>(kColumns, 0.0f));
    const std::unique_ptr<CommandBuffer> adding = record({add(sum.address(), slot.address(), sum.address())});
    // The same commands are under way once at a time, so there are two of them.
    const std::unique_ptr<CommandBuffer> other = record({add(sum.address(), slot.address(), sum.address())});
    Scheduler& compute = scheduler();
    std::vector<uint64_t> added;
    for (uint32_t i = 0; i < kRounds; ++i) {
        const std::array<BufferCopy, 1> batch{{{from[i], slot.memory()}}};
        std::vector<TimelinePoint> after_kernels;
        if (i != 0) after_kernels.push_back(compute.point(added.back()));
        const uint64_t copied = copies_.submit(batch, after_kernels);
        if (i >= 2) compute.wait(added[i - 2]);
        const std::array<TimelinePoint, 1> after_copy{copies_.point(copied)};
        added.push_back(compute.submit(i % 2 == 0 ? *adding : *other, after_copy));
    }
    compute.wait(added.back());
    EXPECT_EQ(sum.read(), expected);
}

TEST_P(CopyQueueTest, WaitsForSeveralPoints) {
    const std::vector<float> row = random_row();
    const Allocation input = upload(row);
    auto a = output<float>(kColumns);
    auto b = output<float>(kColumns);
    auto both = output<float>(2 * kColumns);
    const std::unique_ptr<CommandBuffer> first = record({add(0, input.address, a.address())});
    const std::unique_ptr<CommandBuffer> second = record({add(input.address, input.address, b.address())});
    Scheduler& compute = scheduler();
    const std::array<TimelinePoint, 2> waits{compute.point(compute.submit(*first)),
                                             compute.point(compute.submit(*second))};
    const uint64_t bytes = kColumns * sizeof(float);
    const std::array<BufferCopy, 2> batch{
        {{a.memory(), both.memory().slice(0, bytes)}, {b.memory(), both.memory().slice(bytes, bytes)}}};
    copies_.wait(copies_.submit(batch, waits));
    std::vector<float> expected = row;
    for (float value : row) expected.push_back(2 * value);
    EXPECT_EQ(both.read(), expected);
}

TEST_P(CopyQueueTest, KnowsWhoseQueueItUses) {
    const bool transfer = GetParam() == CopyQueue::Queue::kTransfer;
    EXPECT_EQ(copies_.has_own_queue(), transfer && context().plan().transfer_family.has_value());
}

INSTANTIATE_TEST_SUITE_P(Queues, CopyQueueTest,
                         testing::Values(CopyQueue::Queue::kTransfer, CopyQueue::Queue::kCompute),
                         [](const auto& queue) {
                             return queue.param == CopyQueue::Queue::kTransfer ? "transfer" : "compute";
                         });

}  // namespace
}  // namespace vkmoe
