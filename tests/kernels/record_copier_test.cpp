// Records come to slots as they are and in order, whoever copies them.

#include "experts/make_record_copier.h"
#include "gpu/arena.h"
#include "gpu/vk_struct.h"
#include "kernels/row_test.h"

#include <array>
#include <chrono>
#include <thread>

namespace vkmoe {
namespace {

class RecordCopierTest : public RowTest, public testing::WithParamInterface<CopyBy> {
  protected:
    static constexpr uint64_t kLargest = 700'000;  // more than a thread copies at once
    static constexpr uint32_t kColumns = 65536;

    RecordCopierTest() : RowTest(kColumns) {}

    void SetUp() override {
        if (GetParam() == CopyBy::kHost && !context().plan().unified_memory)
            GTEST_SKIP() << "the host does not see this device's memory";
        copier_ = make_record_copier(GetParam(), context().shared_device(), kLargest);
    }

    std::vector<uint32_t> random_record(uint64_t bytes) {
        std::vector<uint32_t> record(bytes / sizeof(uint32_t));
        for (uint32_t& word : record) word = static_cast<uint32_t>(random()());
        return record;
    }

    /// In host memory that the device sees, or in any.
    HostRecord host_record(const std::vector<uint32_t>& record, bool pinned) {
        const auto* data = reinterpret_cast<const std::byte*>(record.data());
        if (!pinned) return {.data = data, .memory = {}};
        const Allocation memory = host_.allocate(record.size() * sizeof(uint32_t));
        std::memcpy(memory.mapped, data, memory.size);
        return {.data = memory.mapped, .memory = memory};
    }

    std::unique_ptr<RecordCopier> copier_;
    Arena host_{context().shared_device(), MemoryKind::kUpload, "records"};
};

TEST_P(RecordCopierTest, BringsRecordsOfAllSizesPinnedOrNot) {
    // More of those that are not pinned than are staged at once.
    std::vector<std::vector<uint32_t>> records;
    std::vector<TypedOutput<uint32_t>> slots;
    for (uint64_t i = 0; i < 40; ++i) {
        records.push_back(random_record(i == 7 ? kLargest : 16 * (1 + random()() % 3000)));
        slots.push_back(output<uint32_t>(records.back().size()));
    }
    scheduler();  // the poison is there
    std::vector<RecordMove> moves;
    for (size_t i = 0; i < records.size(); ++i)
        moves.push_back({host_record(records[i], i % 3 == 0), slots[i].memory()});
    const uint64_t first = copier_->submit(std::span(moves).first(25), {});
    const uint64_t second = copier_->submit(std::span(moves).subspan(25), {});
    EXPECT_GT(second, first);
    copier_->wait(second);
    EXPECT_GE(copier_->reached(), second);
    for (size_t i = 0; i < records.size(); ++i) EXPECT_EQ(slots[i].read(), records[i]) << i;
}

TEST_P(RecordCopierTest, TheLastRecordForASlotStays) {
    auto slot = output<uint32_t>(kLargest / sizeof(uint32_t));
    scheduler();
    std::vector<std::vector<uint32_t>> records;
    std::vector<HostRecord> sources;
    for (int i = 0; i < 30; ++i) {
        records.push_back(random_record(kLargest));
        sources.push_back(host_record(records.back(), true));
    }
    for (int round = 0; round < 10; ++round) {
        uint64_t value = 0;
        for (size_t i = 0; i < 3; ++i) {
            const std::array<RecordMove, 1> move{{{sources[round * 3 + i], slot.memory()}}};
            value = copier_->submit(move, {});
        }
        copier_->wait(value);
        ASSERT_EQ(slot.read(), records[round * 3 + 2]) << round;
    }
}

/// Kernels read a slot and add to a sum, then the slot gets its next record; each waits for the other.
TEST_P(RecordCopierTest, TakesTurnsWithKernels) {
    constexpr uint32_t kRounds = 30;
    std::vector<std::vector<float>> records;
    std::vector<float> expected(kColumns, 0.0f);
    for (uint32_t i = 0; i < kRounds; ++i) {
        const std::vector<float>& record = records.emplace_back(random_row());
        for (uint32_t column = 0; column < kColumns; ++column) expected[column] += record[column];
    }
    auto slot = output<float>(kColumns);
    auto sum = output<float>(kColumns);
    sum.fill(std::vector<float>(kColumns, 0.0f));
    std::array<std::unique_ptr<CommandBuffer>, 2> adding;
    for (std::unique_ptr<CommandBuffer>& commands : adding) {
        Recorder recorder(context().shared_device());
        recorder.add(add(sum.address(), slot.address(), sum.address()));
        commands = recorder.finish();
    }
    Scheduler& compute = scheduler();
    std::vector<uint64_t> added;
    for (uint32_t i = 0; i < kRounds; ++i) {
        const auto* data = reinterpret_cast<const std::byte*>(records[i].data());
        const std::array<RecordMove, 1> move{{{{.data = data, .memory = {}}, slot.memory()}}};
        std::vector<TimelinePoint> kernels;
        if (i != 0) kernels.push_back(compute.point(added.back()));
        const uint64_t copied = copier_->submit(move, kernels);
        // The same commands are under way once at a time.
        if (i >= 2) compute.wait(added[i - 2]);
        added.push_back(compute.submit(*adding[i % 2], copier_->arrival(copied)));
    }
    compute.wait(added.back());
    EXPECT_EQ(sum.read(), expected);
}

TEST_P(RecordCopierTest, EndsWhenItsCopiesAreDone) {
    auto slot = output<uint32_t>(kLargest / sizeof(uint32_t));
    scheduler();
    const std::vector<uint32_t> record = random_record(kLargest);
    const Timeline gate(context().shared_device());
    std::thread opens([&] {
        // Long enough for a copier that does not wait to be gone with the memory that the copy reads.
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        auto signal = vk_struct<VkSemaphoreSignalInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO);
        signal.semaphore = gate.handle();
        signal.value = 1;
        const Device& device = context().device();
        check_vk(device.vk().vkSignalSemaphore(device.handle(), &signal), "open the gate");
    });
    const std::array<RecordMove, 1> move{{{host_record(record, false), slot.memory()}}};
    copier_->submit(move, std::array{gate.point(1)});
    copier_.reset();
    EXPECT_EQ(gate.reached(), 1u);
    opens.join();
    context().device().wait_idle();
    EXPECT_EQ(slot.read(), record);
}

INSTANTIATE_TEST_SUITE_P(All, RecordCopierTest, testing::Values(CopyBy::kQueue, CopyBy::kHost),
                         [](const testing::TestParamInfo<CopyBy>& by) {
                             return by.param == CopyBy::kHost ? "Host" : "Queue";
                         });

}  // namespace
}  // namespace vkmoe
