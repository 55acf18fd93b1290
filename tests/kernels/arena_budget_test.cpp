// Budgets of device memory, arenas that only measure, and memory that is given back for others.
#include "base/error.h"
#include "gpu/arena.h"
#include "unit/error_matching.h"
#include "unit/scoped_faults.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

namespace vkmoe {
namespace {

constexpr uint64_t kMiB = 1ull << 20;

class ArenaBudgetTest : public testing::Test {
  protected:
    const std::shared_ptr<Device>& device() { return device_; }

    void TearDown() override { EXPECT_EQ(taken(), 0) << "all was given back"; }

    void allow(uint64_t bytes) { device()->set_memory_budget(bytes); }
    uint64_t taken() { return device()->device_memory_taken(); }

    struct Piece {
        uint64_t bytes = 0;
        uint64_t alignment = Arena::kAlignment;
    };
    /// Many small pieces and some large ones, as weights are.
    std::vector<Piece> some_pieces(bool mixed_alignment) {
        std::uniform_int_distribution<uint64_t> small(1, 3000);
        std::uniform_int_distribution<uint64_t> large(kMiB, 9 * kMiB);
        std::uniform_int_distribution<uint32_t> shift(0, 12);
        std::vector<Piece> pieces;
        for (int i = 0; i < 60; ++i) {
            pieces.push_back({i % 10 == 3 ? large(random_) : small(random_)});
            if (mixed_alignment) pieces.back().alignment = uint64_t{1} << shift(random_);
        }
        return pieces;
    }
    static uint64_t total(const std::vector<Piece>& pieces) {
        uint64_t sum = 0;
        for (const Piece& piece : pieces) sum += piece.bytes;
        return sum;
    }

  private:
    std::shared_ptr<Device> device_ = Device::create();
    std::mt19937 random_{20240917};
};

TEST_F(ArenaBudgetTest, WhatIsTakenIsCountedAndItsPeakKept) {
    {
        Arena arena(device(), MemoryKind::kDevice, "counted");
        arena.allocate(5 * kMiB);
        EXPECT_EQ(taken(), arena.committed_bytes());
        EXPECT_GE(taken(), 5 * kMiB);
        Arena host(device(), MemoryKind::kUpload, "not counted");
        host.allocate(7 * kMiB);
        EXPECT_EQ(taken(), arena.committed_bytes());
    }
    EXPECT_EQ(taken(), 0);
    EXPECT_GE(device()->device_memory_peak(), 5 * kMiB);
}

TEST_F(ArenaBudgetTest, NoMoreIsTakenThanTheBudgetAllows) {
    allow(10 * kMiB);
    EXPECT_LE(device()->available_device_memory(), 10 * kMiB);
    {
        Arena arena(device(), MemoryKind::kDevice, "weights of a test");
        arena.allocate(6 * kMiB);
        expect_error(ErrorCode::kOutOfMemory,
                     {"weights of a test", "within the budget", "raise the VRAM budget"},
                     [&] { arena.allocate(5 * kMiB); });
        arena.allocate(3 * kMiB);
        EXPECT_LE(taken(), 10 * kMiB);
        Arena host(device(), MemoryKind::kUpload, "host memory");
        host.allocate(20 * kMiB);
    }
    Arena arena(device(), MemoryKind::kDevice, "after");
    arena.allocate(10 * kMiB - 8192);
}

TEST_F(ArenaBudgetTest, SmallPiecesWithinABudgetWasteLittle) {
    allow(64 * kMiB);
    Arena arena(device(), MemoryKind::kDevice, "small");
    uint64_t sum = 0;
    for (int i = 0; i < 4000; ++i) sum += arena.allocate(4000).size;
    EXPECT_LE(arena.committed_bytes(), sum + sum / 8);
}

TEST_F(ArenaBudgetTest, AnArenaThatMeasuresTakesNothing) {
    Arena measured(device(), MemoryKind::kDevice, "measured", ArenaMode::kMeasure);
    const Allocation first = measured.allocate(1000);
    const Allocation second = measured.allocate(700 * kMiB);
    EXPECT_NE(first.address, 0);
    EXPECT_TRUE(second.address >= first.address + 1000 || first.address >= second.address + second.size);
    EXPECT_EQ(first.mapped, nullptr);
    EXPECT_EQ(taken(), 0);
    EXPECT_GE(measured.committed_bytes(), 1000 + 700 * kMiB);
    EXPECT_LE(measured.committed_bytes(), 701 * kMiB);
    const std::vector<std::byte> bytes(1000);
    Uploader uploader(device());
    uploader.copy(first, bytes);
    uploader.flush();
    EXPECT_EQ(taken(), 0);
}

TEST_F(ArenaBudgetTest, WhatWasMeasuredIsTakenToTheByte) {
    for (const bool mixed : {false, true}) {
        const std::vector<Piece> pieces = some_pieces(mixed);
        Arena measured(device(), MemoryKind::kDevice, "measured", ArenaMode::kMeasure);
        for (const Piece& piece : pieces) measured.allocate(piece.bytes, piece.alignment);
        const uint64_t needed = measured.committed_bytes();
        EXPECT_LE(needed, total(pieces) + total(pieces) / 100);

        allow(needed);
        Arena arena(device(), MemoryKind::kDevice, "exact");
        arena.expect(measured.layout());
        for (const Piece& piece : pieces) arena.allocate(piece.bytes, piece.alignment);
        EXPECT_EQ(arena.committed_bytes(), needed);
        EXPECT_EQ(taken(), needed);
        EXPECT_THROW(arena.allocate(64 << 10), Error) << "the budget is used up";
        device()->set_memory_budget(0);
        arena.allocate(64 << 10);
    }
}

TEST_F(ArenaBudgetTest, LayoutsOfManyChunksAreExactToo) {
    const uint64_t chunk = device()->plan().arena_chunk_size;
    Arena measured(device(), MemoryKind::kDevice, "measured", ArenaMode::kMeasure);
    uint64_t sum = 0;
    for (const uint64_t bytes : {chunk / 2, chunk / 3, chunk / 2, chunk / 8, chunk + 5, chunk / 16})
        sum += measured.allocate(bytes).size;
    EXPECT_GE(measured.layout().chunks.size(), 3);
    EXPECT_LE(measured.committed_bytes(), sum + 4 * 8192) << "tails are cut off";
}

TEST_F(ArenaBudgetTest, TheReclaimerGivesWhatIsMissing) {
    std::vector<std::unique_ptr<Arena>> pool;
    for (int i = 0; i < 4; ++i) {
        pool.push_back(std::make_unique<Arena>(device(), MemoryKind::kDevice, "pool"));
        pool.back()->allocate(2 * kMiB);
    }
    allow(taken() + 64 * 1024);
    std::vector<uint64_t> wishes;
    device()->set_reclaimer([&](uint64_t missing) {
        wishes.push_back(missing);
        uint64_t freed = 0;
        while (!pool.empty() && freed < missing) {
            freed += pool.back()->committed_bytes();
            pool.pop_back();
        }
        return freed;
    });
    const uint64_t peak = device()->device_memory_peak();
    Arena arena(device(), MemoryKind::kDevice, "session");
    arena.allocate(5 * kMiB);
    EXPECT_EQ(wishes.size(), 1);
    EXPECT_EQ(pool.size(), 1) << "no more is freed than is missing";
    EXPECT_EQ(device()->device_memory_peak(), peak) << "freed first, then taken";
    EXPECT_THROW(arena.allocate(20 * kMiB), Error);
    EXPECT_TRUE(pool.empty());

    device()->set_reclaimer({});
    const size_t n = wishes.size();
    EXPECT_THROW(arena.allocate(20 * kMiB), Error);
    EXPECT_EQ(wishes.size(), n) << "nobody is asked any more";
}

TEST_F(ArenaBudgetTest, NobodyIsAskedForWhatIsOnlyGoodToHave) {
    allow(kMiB);
    int asked = 0;
    device()->set_reclaimer([&](uint64_t) {
        ++asked;
        // What the reclaimer allocates itself does not ask it again.
        Arena inner(device(), MemoryKind::kDevice, "inside");
        EXPECT_THROW(inner.allocate(4 * kMiB), Error);
        return uint64_t{0};
    });
    Arena pool(device(), MemoryKind::kDevice, "pool");
    pool.set_reclaims(false);
    EXPECT_THROW(pool.allocate(4 * kMiB), Error);
    EXPECT_EQ(asked, 0);
    Arena arena(device(), MemoryKind::kDevice, "session");
    EXPECT_THROW(arena.allocate(4 * kMiB), Error);
    EXPECT_EQ(asked, 1);
}

TEST_F(ArenaBudgetTest, ThreadsDoNotTakeMoreThanTheBudgetTogether) {
    constexpr uint64_t kBudget = 24 * kMiB;
    allow(kBudget);
    std::vector<std::unique_ptr<Arena>> arenas;
    for (int i = 0; i < 4; ++i)
        arenas.push_back(std::make_unique<Arena>(device(), MemoryKind::kDevice, "thread"));
    std::vector<std::thread> threads;
    for (const auto& arena : arenas) {
        threads.emplace_back([&arena] {
            try {
                for (int i = 0; i < 100; ++i) arena->allocate(kMiB);
            } catch (const Error&) {
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    uint64_t committed = 0;
    for (const auto& arena : arenas) committed += arena->committed_bytes();
    EXPECT_EQ(committed, taken());
    EXPECT_LE(committed, kBudget);
    EXPECT_GE(committed, kBudget - 2 * kMiB) << "it is used";
}

TEST_F(ArenaBudgetTest, ARefusedBudgetShrinksToWhatIsTaken) {
    Arena arena(device(), MemoryKind::kDevice, "taken");
    arena.allocate(2 * kMiB);
    const auto refuse = [&] {
        const ScopedFaults faults("device_allocation");
        EXPECT_THROW(arena.allocate(5 * kMiB), Error);
    };
    refuse();
    EXPECT_EQ(device()->memory_budget(), 0) << "there is none to shrink";
    allow(100 * kMiB);
    refuse();
    EXPECT_EQ(device()->memory_budget(), taken());
    EXPECT_EQ(device()->available_device_memory(), 0);
}

TEST_F(ArenaBudgetTest, OnlyTheDriversRefusalShrinksTheBudget) {
    allow(10 * kMiB);
    const Device::MemoryEvents before = device()->memory_events();
    Arena arena(device(), MemoryKind::kDevice, "taken");
    arena.allocate(6 * kMiB);
    EXPECT_THROW(arena.allocate(6 * kMiB), Error);
    EXPECT_FALSE(device()->shrink_memory_budget(before));
    EXPECT_EQ(device()->memory_budget(), 10 * kMiB);

    // What others give back between the refusal and its consequence is still there to be had.
    auto others = std::make_unique<Arena>(device(), MemoryKind::kDevice, "others");
    others->allocate(2 * kMiB);
    const uint64_t held = taken();
    arena.set_reclaims(false);
    {
        const ScopedFaults faults("device_allocation");
        EXPECT_THROW(arena.allocate(kMiB), Error);
    }
    others.reset();
    EXPECT_TRUE(device()->shrink_memory_budget(before));
    EXPECT_EQ(device()->memory_budget(), held);
}

TEST_F(ArenaBudgetTest, AReserveIsKeptForThoseItIsFor) {
    allow(10 * kMiB);
    device()->set_memory_reserve(4 * kMiB);
    EXPECT_EQ(device()->available_device_memory(), 6 * kMiB);
    EXPECT_EQ(device()->available_device_memory(MemoryShare::kReserved), 10 * kMiB);
    Arena general(device(), MemoryKind::kDevice, "general");
    EXPECT_THROW(general.allocate(7 * kMiB), Error);
    general.allocate(3 * kMiB);
    {
        Arena reserved(device(), MemoryKind::kDevice, "reserved");
        reserved.set_share(MemoryShare::kReserved);
        reserved.allocate(5 * kMiB);
        EXPECT_EQ(device()->device_memory_taken(MemoryShare::kReserved), reserved.committed_bytes());
        EXPECT_EQ(device()->available_device_memory(), 10 * kMiB - taken());
    }
    EXPECT_EQ(device()->available_device_memory(), 6 * kMiB - taken());
    EXPECT_THROW(general.allocate(4 * kMiB), Error);
    device()->set_memory_reserve(0);
    general.allocate(4 * kMiB);
}

/// Threads that take a piece each and give it back, again and again, as sessions do. There is room for all of
/// their pieces, beside a pool that takes what is free and gives it back when it is asked.
TEST_F(ArenaBudgetTest, ThreadsThatFitTogetherAreNeverRefused) {
    constexpr int kThreads = 4;
    constexpr int kRounds = 400;
    constexpr uint64_t kPiece = kMiB;
    const uint64_t budget = kThreads * kPiece;
    allow(budget);
    std::mutex pool_mutex;
    std::vector<std::unique_ptr<Arena>> pool;
    device()->set_reclaimer([&](uint64_t) {
        const std::lock_guard lock(pool_mutex);
        pool.clear();
    });
    std::atomic<int> n_refused = 0;
    std::atomic<bool> stops = false;
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
        threads.emplace_back([&] {
            for (int round = 0; round < kRounds; ++round) {
                try {
                    Arena arena(device(), MemoryKind::kDevice, "session");
                    arena.allocate(kPiece - (64 << 10));
                    arena.allocate(40 << 10);
                } catch (const Error&) {
                    ++n_refused;
                }
            }
        });
    }
    std::thread filler([&] {
        while (!stops) {
            try {
                // Like the pager, which a reclaimer waits for while it takes slots.
                const std::lock_guard lock(pool_mutex);
                auto arena = std::make_unique<Arena>(device(), MemoryKind::kDevice, "pool");
                arena->set_reclaims(false);
                arena->allocate(256 << 10);
                pool.push_back(std::move(arena));
            } catch (const Error&) {
                std::this_thread::yield();
            }
        }
    });
    for (std::thread& thread : threads) thread.join();
    stops = true;
    filler.join();
    device()->set_reclaimer({});
    pool.clear();
    EXPECT_EQ(n_refused, 0);
    EXPECT_EQ(device()->memory_budget(), budget) << "the driver refused nothing";
}

}  // namespace
}  // namespace vkmoe
