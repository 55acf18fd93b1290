#include "experts/host_tier.h"

#include "base/error.h"
#include "base/units.h"
#include "experts/host_budget.h"
#include "unit/error_matching.h"
#include "unit/scoped_faults.h"
#include "unit/temp_folder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <random>
#include <set>
#include <thread>

namespace vkmoe {
namespace {

constexpr uint64_t kKiB = 1 << 10;
constexpr uint64_t kMiB = 1 << 20;
constexpr uint32_t kExperts = 24;

std::string random_text(size_t bytes, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::string text(bytes, '\0');
    for (char& byte : text) byte = static_cast<char>(random());
    return text;
}

/// Layers of two record sizes, with gaps in their records, in two files of random bytes.
class HostTierTest : public testing::Test {
  protected:
    HostTierTest() : trace_(__FILE__, __LINE__, std::to_string(seed_)) {
        const std::array<std::string, 2> paths = {folder_ / "first.gguf", folder_ / "second.gguf"};
        std::array<uint64_t, 2> ends = {13, 7777};  // nothing is aligned
        for (uint32_t i = 0; i < 5; ++i) {
            const uint64_t gate = 30'011;
            const uint64_t down = i % 2 == 0 ? 20'050 : 40'000;
            RecordLayer layer{.block = 10 + i};
            auto add = [&](size_t file, uint64_t bytes, uint64_t record_offset) {
                layer.pieces.push_back({paths[file], ends[file], bytes, record_offset});
                layer.record_bytes = record_offset + bytes;
                ends[file] += kExperts * bytes + 5;
            };
            add(0, gate, 0);
            add(i % 2, gate, 30'016);
            add(1, down, 2 * 30'016 + 64);
            layers_.push_back(layer);
        }
        for (size_t i = 0; i < 2; ++i) {
            texts_.push_back(random_text(ends[i], seed_ + i));
            write_file(paths[i], texts_[i]);
        }
    }

    std::string expected(uint32_t layer, uint32_t expert) const {
        const RecordLayer& shape = layers_[layer];
        std::string record((shape.record_bytes + 15) / 16 * 16, '\0');
        for (const RecordPiece& piece : shape.pieces) {
            const std::string& text = texts_[piece.path == layers_[0].pieces[0].path ? 0 : 1];
            std::memcpy(record.data() + piece.record_offset,
                        text.data() + piece.file_offset + expert * piece.bytes, piece.bytes);
        }
        return record;
    }
    void expect_record(const HostRecord& record, uint32_t layer, uint32_t expert) const {
        const std::string wanted = expected(layer, expert);
        EXPECT_EQ(std::memcmp(record.data, wanted.data(), wanted.size()), 0)
            << "expert " << expert << " of layer " << layer;
    }
    void use(HostTier& tier, uint32_t layer, uint32_t expert) const {
        expect_record(tier.acquire(layer, expert), layer, expert);
        tier.release(layer, expert);
    }
    /// The record as the device reads it.
    void expect_on_device(const HostRecord& record, uint32_t layer, uint32_t expert) const {
        ASSERT_TRUE(record.memory);
        std::vector<std::byte> bytes(layers_[layer].record_bytes);
        download(*device_, record.memory, bytes);
        EXPECT_EQ(std::memcmp(bytes.data(), expected(layer, expert).data(), bytes.size()), 0)
            << "expert " << expert << " of layer " << layer;
    }

    /// A cache for some of the records only; reads with small buffers.
    HostTierOptions bounded(uint64_t bytes) const {
        HostTierOptions options;
        options.budget_bytes = bytes;
        options.reader.piece_bytes = 16 * kKiB;
        options.reader.n_in_flight = 3;
        return options;
    }
    uint64_t least(const HostTierOptions& options) const {
        return least_host_budget(layers_, kExperts, options);
    }
    const uint64_t seed_ = std::random_device{}();
    const testing::ScopedTrace trace_;
    const TempFolder folder_;
    const std::shared_ptr<Device> device_ = Device::create();
    std::vector<RecordLayer> layers_;
    std::vector<std::string> texts_;
};

TEST_F(HostTierTest, EverythingLiesInPinnedMemory) {
    float last = 0;
    HostTierOptions options;
    options.progress = [&](float done) {
        EXPECT_GE(done, last);
        last = done;
        return true;
    };
    HostTier tier(device_, layers_, kExperts, options);
    EXPECT_EQ(last, 1);
    EXPECT_TRUE(tier.all_resident());
    EXPECT_TRUE(tier.all_pinned());
    EXPECT_EQ(tier.n_places(), 5 * kExperts);
    EXPECT_EQ(tier.pinned_bytes(), tier.committed_bytes());
    EXPECT_LE(tier.wasted_bytes(), tier.committed_bytes() / 20);
    for (uint32_t layer = 0; layer < layers_.size(); ++layer) {
        for (uint32_t expert = 0; expert < kExperts; ++expert) {
            EXPECT_TRUE(tier.request(layer, expert));
            const HostRecord record = tier.acquire(layer, expert);
            expect_record(record, layer, expert);
            EXPECT_EQ(record.memory.address, tier.device_address(layer, expert));
            EXPECT_EQ(record.memory.address % 16, 0);
            if (expert % 5 == 0) expect_on_device(record, layer, expert);
            tier.release(layer, expert);
        }
    }
    const HostTierStatistics statistics = tier.statistics();
    EXPECT_EQ(statistics.n_hits, 5 * kExperts);
    EXPECT_EQ(statistics.n_misses + statistics.n_requested + statistics.n_evictions, 0u);
    EXPECT_EQ(statistics.seconds_waited, 0);
}

TEST_F(HostTierTest, FromTheFullBudgetOnEverythingIsResident) {
    HostTierOptions options = bounded(0);
    options.budget_bytes = full_host_budget(layers_, kExperts, options);
    {
        HostTier tier(device_, layers_, kExperts, options);
        EXPECT_TRUE(tier.all_resident());
        EXPECT_LE(tier.committed_bytes(), options.budget_bytes);
    }
    --options.budget_bytes;
    HostTier tier(device_, layers_, kExperts, options);
    EXPECT_FALSE(tier.all_resident());
    EXPECT_FALSE(tier.all_pinned());
    EXPECT_EQ(tier.device_address(0, 0), 0u);
    EXPECT_LE(tier.committed_bytes(), options.budget_bytes);
    EXPECT_GE(tier.n_places(), 5 * kExperts - 3);
}

TEST_F(HostTierTest, WherePinningIsRefusedTheRestIsPageableAndSaysSo) {
    for (const bool bounded_cache : {false, true}) {
        const HostTierOptions options = bounded_cache ? bounded(3 * kMiB) : HostTierOptions{};
        // One block for each size of records.
        for (const char* plan : {"host_pinning", "host_pinning:at=2"}) {
            const ScopedFaults faults(plan);
            testing::internal::CaptureStderr();
            HostTier tier(device_, layers_, kExperts, options);
            const std::string log = testing::internal::GetCapturedStderr();
            EXPECT_NE(log.find("pinned memory was refused"), std::string::npos) << log;
            EXPECT_EQ(std::ranges::count(log, '\n'), 1) << log;
            EXPECT_FALSE(tier.all_pinned());
            EXPECT_EQ(tier.pinned_bytes() != 0, plan == std::string_view("host_pinning:at=2"));
            EXPECT_LT(tier.pinned_bytes(), tier.committed_bytes());
            EXPECT_LE(tier.committed_bytes(), options.budget_bytes);
            for (uint32_t layer = 0; layer < layers_.size(); ++layer) {
                const HostRecord record = tier.acquire(layer, 3);
                expect_record(record, layer, 3);
                if (record.memory) expect_on_device(record, layer, 3);
                EXPECT_EQ(tier.device_address(layer, 3), bounded_cache ? 0 : record.memory.address);
                // Layers 0, 2 and 4 have the size that comes first.
                EXPECT_EQ(bool(record.memory), tier.pinned_bytes() != 0 && layer % 2 == 0);
                tier.release(layer, 3);
            }
        }
    }
}

TEST_F(HostTierTest, ProgressCanCancel) {
    HostTierOptions options;
    int n_calls = 0;
    options.progress = [&](float) { return ++n_calls < 7; };
    expect_error(ErrorCode::kCancelled, {"cancelled", "first.gguf"},
                 [&] { HostTier(device_, layers_, kExperts, options); });
    EXPECT_EQ(n_calls, 7);
}

TEST_F(HostTierTest, TheLeastBudgetWorksAndLessIsRefusedWithIt) {
    for (const uint32_t least_records : {1u, 4u, 9u}) {
        HostTierOptions options = bounded(0);
        options.least_records = least_records;
        options.budget_bytes = least(options);
        {
            HostTier tier(device_, layers_, kExperts, options);
            EXPECT_GE(tier.fewest_places(), least_records);
            EXPECT_GE(tier.n_places(), 2 * least_records);
            EXPECT_LE(tier.committed_bytes(), options.budget_bytes);
            for (uint32_t expert = 0; expert < kExperts; ++expert)
                for (uint32_t layer = 0; layer < layers_.size(); ++layer) use(tier, layer, expert);
        }
        const std::string figure = fmt::format("{} MiB", mib_rounded_up(options.budget_bytes));
        --options.budget_bytes;
        expect_error(ErrorCode::kOutOfMemory, {"host tier", "at least " + figure},
                     [&] { HostTier(device_, layers_, kExperts, options); });
    }
}

TEST_F(HostTierTest, MemoryStaysWithinTheBudgetAndIsPutToUse) {
    const HostTierOptions defaults = bounded(0);
    const uint64_t lowest = least(defaults);
    const uint64_t highest = full_host_budget(layers_, kExperts, defaults);
    std::mt19937_64 random(seed_);
    for (int i = 0; i < 20; ++i) {
        const HostTierOptions options = bounded(lowest + random() % (highest - lowest));
        const HostTier tier(device_, layers_, kExperts, options);
        EXPECT_LE(tier.committed_bytes(), options.budget_bytes);
        // All but the rounding of its two blocks and less than a record of each size.
        EXPECT_GE(tier.committed_bytes() + 2 * 64 * kKiB + 2 * 101 * kKiB, options.budget_bytes);
        EXPECT_LE(tier.wasted_bytes(), 2 * 64 * kKiB + tier.committed_bytes() / 50);
    }
}

TEST_F(HostTierTest, WhatIsLongestUnusedLeaves) {
    HostTierOptions options = bounded(0);
    options.budget_bytes = least(options);
    HostTier tier(device_, layers_, kExperts, options);
    const auto n = static_cast<uint32_t>(tier.n_places() - tier.fewest_places());
    ASSERT_LT(n, kExperts);
    for (uint32_t expert = 0; expert < n; ++expert) use(tier, 0, expert);
    use(tier, 0, 0);
    EXPECT_EQ(tier.statistics().n_misses, n);
    use(tier, 0, n);  // instead of expert 1
    use(tier, 0, 0);
    EXPECT_EQ(tier.statistics().n_misses, n + 1);
    use(tier, 0, 1);  // instead of expert 2
    EXPECT_EQ(tier.statistics().n_misses, n + 2);
    EXPECT_EQ(tier.statistics().n_evictions, 2u);
    for (uint32_t expert = 3; expert <= n; ++expert) use(tier, 0, expert);
    EXPECT_EQ(tier.statistics().n_misses, n + 2);
}

TEST_F(HostTierTest, WhatLiesInASlotLeavesEarlierAndWhatLeftItLater) {
    HostTierOptions options = bounded(0);
    options.budget_bytes = least(options);
    HostTier tier(device_, layers_, kExperts, options);
    ASSERT_EQ(tier.n_places() - tier.fewest_places(), 4u);
    std::set<uint32_t> in_slots;
    const auto in_slot = [&](uint32_t layer, uint32_t expert) {
        return layer == 0 && in_slots.contains(expert);
    };
    const auto n_misses = [&] { return tier.statistics().n_misses; };
    for (uint32_t expert = 0; expert < 4; ++expert) use(tier, 0, expert);
    // Two slots make expert 3 older than 2, but not older than 0.
    in_slots = {3};
    tier.set_slots(2, in_slot);
    use(tier, 0, 4);
    for (const uint32_t expert : {1u, 2u, 3u, 4u}) use(tier, 0, expert);
    EXPECT_EQ(n_misses(), 5u);

    tier.set_slots(100, in_slot);
    in_slots = {3, 4};
    use(tier, 0, 5);  // instead of 3
    for (const uint32_t expert : {1u, 2u, 5u}) use(tier, 0, expert);
    EXPECT_EQ(n_misses(), 6u);
    in_slots = {};
    use(tier, 0, 6);  // 4 has just left its slot: instead of 1
    for (const uint32_t expert : {2u, 4u, 5u, 6u}) use(tier, 0, expert);
    EXPECT_EQ(n_misses(), 7u);
    in_slots = {2, 4, 5, 6};
    tier.set_slots(0, {});
    use(tier, 0, 7);  // instead of 2
    for (const uint32_t expert : {4u, 5u, 6u, 7u}) use(tier, 0, expert);
    EXPECT_EQ(n_misses(), 8u);
}

TEST_F(HostTierTest, WhatIsRequestedIsReadAhead) {
    HostTierOptions options = bounded(0);
    options.budget_bytes = least(options);
    HostTier tier(device_, layers_, kExperts, options);
    const uint64_t n_large = tier.fewest_places();
    for (uint32_t expert = 0; expert < n_large; ++expert) EXPECT_TRUE(tier.request(1, expert));
    EXPECT_FALSE(tier.request(1, 20)) << "nothing that was asked for ahead makes room";
    EXPECT_TRUE(tier.request(1, 0)) << "it is on its way";
    for (uint32_t expert = 0; expert < n_large; ++expert) use(tier, 1, expert);
    HostTierStatistics statistics = tier.statistics();
    EXPECT_EQ(statistics.n_requested, n_large);
    EXPECT_EQ(statistics.n_misses, 0u);
    EXPECT_EQ(statistics.n_hits + statistics.n_waits, n_large);
    EXPECT_EQ(statistics.bytes_read, n_large * (2 * 30'011 + 40'000));
    EXPECT_TRUE(tier.request(1, 20)) << "what was used does make room";
    use(tier, 1, 20);
    // Reads ahead that nobody came for leave when others are wanted.
    for (uint32_t expert = 4; expert < 4 + n_large; ++expert) tier.request(1, expert);
    for (uint32_t expert = 10; expert < kExperts; ++expert) use(tier, 1, expert);
}

TEST_F(HostTierTest, WhatIsHeldStays) {
    HostTierOptions options = bounded(0);
    options.budget_bytes = least(options);
    HostTier tier(device_, layers_, kExperts, options);
    std::vector<HostRecord> held;
    const auto n = static_cast<uint32_t>(tier.fewest_places());
    for (uint32_t expert = 0; expert < n; ++expert) held.push_back(tier.acquire(3, expert));
    EXPECT_FALSE(tier.request(3, n));
    expect_error(ErrorCode::kOutOfMemory, {"expert 9 of layer 13", "host tier", "RAM budget"},
                 [&] { tier.acquire(3, 9); });
    EXPECT_EQ(tier.acquire(3, 0).data, held[0].data) << "a second time";
    tier.release(3, 0);
    EXPECT_THROW(tier.acquire(3, 9), Error) << "still held once";
    use(tier, 0, 5);  // of another size
    for (uint32_t expert = 0; expert < n; ++expert) expect_record(held[expert], 3, expert);
    tier.release(3, 1);
    use(tier, 3, 9);
    expect_record(held[0], 3, 0);
}

TEST_F(HostTierTest, AReadErrorNamesTierAndExpertAndPasses) {
    HostTierOptions options = bounded(0);
    options.budget_bytes = least(options);
    HostTier tier(device_, layers_, kExperts, options);
    use(tier, 3, 1);
    {
        const ScopedFaults faults("disk_read");
        for (int i = 0; i < 20; ++i) {  // more often than there are places
            expect_error(ErrorCode::kIo,
                         {"disk tier", "expert 17 of layer 13", ".gguf", "Input/output error", "at offset"},
                         [&] { tier.acquire(3, 17); });
        }
        use(tier, 3, 1);  // is there
    }
    use(tier, 3, 17);
    EXPECT_EQ(tier.statistics().n_failed_reads, 20u);
    // A read ahead that failed is no reason to fail when the record is wanted.
    set_faults("disk_read:at=1");
    EXPECT_TRUE(tier.request(3, 18));
    use(tier, 3, 18);
    set_faults("");
    EXPECT_EQ(tier.statistics().n_failed_reads, 21u);
    const ScopedFaults faults("disk_read:at=300");
    expect_error(ErrorCode::kIo, {"disk tier", "expert ", "Input/output error"},
                 [&] { HostTier(device_, layers_, kExperts); });
}

TEST_F(HostTierTest, AFileThatIsTruncatedWhileRunningGivesErrorsUntilItIsBack) {
    HostTierOptions options = bounded(0);
    options.budget_bytes = least(options);
    HostTier tier(device_, layers_, kExperts, options);
    const std::string path = layers_[4].pieces[2].path;
    const uint64_t at = layers_[4].pieces[2].file_offset + 10 * 20'050;  // expert 10 of the last layer
    for (uint32_t expert = 20; expert < kExperts; ++expert) tier.request(4, expert);
    ASSERT_EQ(::truncate(path.c_str(), static_cast<off_t>(at)), 0);
    for (uint32_t expert = 0; expert < 20; ++expert) {
        if (expert < 10) {
            use(tier, 4, expert);
        } else {
            expect_error(ErrorCode::kIo,
                         {"disk tier", fmt::format("expert {} of layer 14", expert), path, "cut short"},
                         [&] { tier.acquire(4, expert); });
        }
    }
    write_file(path, texts_[1]);
    for (uint32_t expert = 0; expert < kExperts; ++expert) use(tier, 4, expert);
}

TEST_F(HostTierTest, RandomUseBringsTheFilesBytes) {
    for (const bool pin : {true, false}) {
        HostTierOptions options = bounded(0);
        options.pin = pin;
        options.budget_bytes = 3 * least(options);
        HostTier tier(device_, layers_, kExperts, options);
        EXPECT_EQ(tier.pinned_bytes() != 0, pin);
        const uint64_t committed = tier.committed_bytes();
        std::atomic<uint64_t> n_acquired = 0;
        // Three threads hold at most 3 records each, fewer than the places of either size together.
        ASSERT_GE(tier.fewest_places(), 9u) << committed;
        auto work = [&](uint64_t seed) {
            std::mt19937_64 random(seed);
            std::vector<std::array<uint32_t, 2>> held;
            for (int i = 0; i < 600; ++i) {
                const auto layer = static_cast<uint32_t>(random() % layers_.size());
                const auto expert = static_cast<uint32_t>(random() % kExperts);
                if (random() % 3 == 0) {
                    tier.request(layer, expert);
                    continue;
                }
                const HostRecord record = tier.acquire(layer, expert);
                ++n_acquired;
                held.push_back({layer, expert});
                expect_record(record, layer, expert);
                if (pin && i % 50 == 0) expect_on_device(record, layer, expert);
                if (held.size() < 3 && random() % 2 == 0) continue;
                for (const auto& [held_layer, held_expert] : held) tier.release(held_layer, held_expert);
                held.clear();
            }
            for (const auto& [held_layer, held_expert] : held) tier.release(held_layer, held_expert);
        };
        std::thread first(work, seed_ + 1);
        std::thread second(work, seed_ + 2);
        work(seed_ + 3);
        first.join();
        second.join();
        const HostTierStatistics statistics = tier.statistics();
        EXPECT_EQ(statistics.n_hits + statistics.n_waits + statistics.n_misses, n_acquired);
        EXPECT_GT(statistics.n_evictions, 100u);
        EXPECT_GT(statistics.seconds_waited, 0);
        EXPECT_EQ(tier.committed_bytes(), committed);
        EXPECT_EQ(statistics.n_failed_reads, 0u);
    }
}

TEST_F(HostTierTest, RandomUseWithRandomFaultsNeverBringsWrongBytes) {
    HostTierOptions options = bounded(0);
    options.budget_bytes = least(options);
    HostTier tier(device_, layers_, kExperts, options);
    const ScopedFaults faults(
        fmt::format("disk_read:chance=0.02:seed={},short_read:chance=0.3:seed={}", seed_, seed_ + 1));
    std::mt19937_64 random(seed_);
    uint64_t n_errors = 0;
    for (int i = 0; i < 1000; ++i) {
        const auto layer = static_cast<uint32_t>(random() % layers_.size());
        const auto expert = static_cast<uint32_t>(random() % kExperts);
        if (random() % 3 == 0) tier.request(layer, expert);
        try {
            use(tier, layer, expert);
        } catch (const Error& error) {
            ++n_errors;
            EXPECT_EQ(error.code(), ErrorCode::kIo) << error.what();
        }
    }
    EXPECT_GT(n_errors, 0u);
    EXPECT_GE(tier.statistics().n_failed_reads, n_errors);
    set_faults("");
    for (uint32_t expert = 0; expert < kExperts; ++expert)
        for (uint32_t layer = 0; layer < layers_.size(); ++layer) use(tier, layer, expert);
}

}  // namespace
}  // namespace vkmoe
