// What of a budget goes to the device and what to experts in host memory.

#include "model/memory_budgets.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace vkmoe {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kGiB = 1 << 30;

/// Of 2 GiB, experts almost all of it, on a machine with plenty.
MemoryQuestion question(bool unified) {
    return {.unified = unified,
            .free_vram = 16 * kGiB,
            .free_ram = 16 * kGiB,
            .whole_vram = 2 * kGiB,
            .least_vram = 200 * kMiB,
            .full_tier = 1800 * kMiB,
            .least_tier = 10 * kMiB,
            .session_ram = 4 * kMiB,
            .has_experts = true};
}

TEST(MemoryBudgets, ACardHasMemoryOfItsOwn) {
    MemoryQuestion q = question(false);
    MemoryBudgets budgets = split_memory(q);
    EXPECT_FALSE(budgets.is_paged);
    EXPECT_EQ(budgets.vram, 16 * kGiB - 16 * kGiB / 20);

    q.ram_budget = kGiB;
    q.vram_budget = 3 * kGiB;
    budgets = split_memory(q);
    EXPECT_FALSE(budgets.is_paged);
    EXPECT_EQ(budgets.vram, 3 * kGiB);

    q.vram_budget = kGiB;
    budgets = split_memory(q);
    EXPECT_TRUE(budgets.is_paged);
    EXPECT_EQ(budgets.vram, kGiB);
    EXPECT_EQ(budgets.tier, kGiB - 4 * kMiB);
}

TEST(MemoryBudgets, WithoutBudgetsHeadroomIsLeft) {
    MemoryQuestion q = question(false);
    q.free_vram = kGiB;
    q.free_ram = 4 * kGiB;
    const MemoryBudgets budgets = split_memory(q);
    EXPECT_TRUE(budgets.is_paged);
    EXPECT_EQ(budgets.vram, 768 * kMiB);
    EXPECT_EQ(budgets.tier, 4 * kGiB - 256 * kMiB - 4 * kMiB);
}

TEST(MemoryBudgets, UnifiedMemoryIsCountedOnce) {
    MemoryQuestion q = question(true);
    EXPECT_FALSE(split_memory(q).is_paged);
    EXPECT_EQ(split_memory(q).vram, 0u);

    // What fits in the RAM budget is resident, and stays within it.
    q.ram_budget = 3 * kGiB;
    EXPECT_FALSE(split_memory(q).is_paged);
    EXPECT_EQ(split_memory(q).vram, 3 * kGiB - 4 * kMiB);
    q.vram_budget = 2500 * kMiB;
    EXPECT_FALSE(split_memory(q).is_paged);
    EXPECT_EQ(split_memory(q).vram, 2500 * kMiB);

    // What does not gets three quarters for the device.
    q.vram_budget = 0;
    q.ram_budget = 804 * kMiB;
    EXPECT_TRUE(split_memory(q).is_paged);
    EXPECT_EQ(split_memory(q).vram, 600 * kMiB);
    EXPECT_EQ(split_memory(q).tier, 200 * kMiB);
    q.vram_budget = 300 * kMiB;
    EXPECT_TRUE(split_memory(q).is_paged);
    EXPECT_EQ(split_memory(q).vram, 300 * kMiB);
    EXPECT_EQ(split_memory(q).tier, 500 * kMiB);

    // Too little RAM is free, and nobody said how much to take.
    q.ram_budget = q.vram_budget = 0;
    q.free_ram = 1060 * kMiB;
    EXPECT_TRUE(split_memory(q).is_paged);
    EXPECT_EQ(split_memory(q).vram, 600 * kMiB);
    EXPECT_EQ(split_memory(q).tier, 200 * kMiB);
}

TEST(MemoryBudgets, UnifiedMemoryLeavesBothSidesTheirLeast) {
    MemoryQuestion q = question(true);
    q.ram_budget = 224 * kMiB;
    EXPECT_EQ(split_memory(q).vram, 200 * kMiB);
    EXPECT_EQ(split_memory(q).tier, 20 * kMiB);
    q.ram_budget = 204 * kMiB;
    EXPECT_EQ(split_memory(q).vram, 190 * kMiB);
    EXPECT_EQ(split_memory(q).tier, 10 * kMiB);
    // Host memory that no expert would fill goes to the device.
    q.must_page = true;
    q.ram_budget = 10004 * kMiB;
    EXPECT_EQ(split_memory(q).vram, 8200 * kMiB);
    EXPECT_EQ(split_memory(q).tier, 1800 * kMiB);
}

/// A share of the device's memory may be far more than a model can use.
TEST(MemoryBudgets, ALargeVramBudgetDoesNotStarveTheHost) {
    MemoryQuestion q = question(true);
    q.must_page = true;
    q.vram_budget = 16 * kGiB;
    EXPECT_EQ(split_memory(q).vram, 16 * kGiB);
    EXPECT_GE(split_memory(q).tier, q.full_tier);
}

/// An integrated GPU whose only heap is smaller than the model: what is pinned of it is missing there.
MemoryQuestion small_heap() {
    MemoryQuestion q = question(true);
    q.free_vram = 1400 * kMiB;
    q.pins_take_vram = true;
    return q;
}

TEST(MemoryBudgets, ATierIsNotPinnedInTheHeapThatTheDeviceNeeds) {
    MemoryQuestion q = small_heap();
    MemoryBudgets budgets = split_memory(q);
    EXPECT_TRUE(budgets.is_paged);
    EXPECT_FALSE(budgets.pins);
    EXPECT_EQ(budgets.vram, 1396 * kMiB - 256 * kMiB) << "headroom, and what a session pins";
    EXPECT_GE(budgets.tier, q.full_tier) << "there is RAM for that";

    q.free_vram = 300 * kMiB;
    EXPECT_EQ(split_memory(q).vram, q.least_vram) << "headroom is not more important than the least";
    q.vram_budget = 250 * kMiB;
    EXPECT_EQ(split_memory(q).vram, 250 * kMiB);
    EXPECT_FALSE(split_memory(q).pins);
}

TEST(MemoryBudgets, ATierIsPinnedBesideTheDevicesPart) {
    MemoryQuestion q = small_heap();
    q.vram_budget = 400 * kMiB;
    q.full_tier = 990 * kMiB;
    EXPECT_TRUE(split_memory(q).pins);
    q.full_tier = 1000 * kMiB;
    EXPECT_FALSE(split_memory(q).pins) << "4 MiB are the session's";
    q.ram_budget = 804 * kMiB;
    EXPECT_TRUE(split_memory(q).pins) << "a tier of 400 MiB";
    q.pins_take_vram = false;
    q.ram_budget = 0;
    EXPECT_TRUE(split_memory(q).pins) << "pinned memory comes from another heap";
}

TEST(MemoryBudgets, APagerOnTheDeviceGetsAllPinnedOrNothing) {
    MemoryQuestion q = small_heap();
    q.must_page = q.must_pin = true;
    q.full_tier = 1100 * kMiB;
    EXPECT_TRUE(split_memory(q).pins);
    EXPECT_EQ(split_memory(q).vram, 296 * kMiB);
    q.full_tier = 1200 * kMiB;
    EXPECT_FALSE(split_memory(q).pins) << "the least on the device would not fit";
}

TEST(MemoryBudgets, ACardWithOneHeapForAll) {
    MemoryQuestion q = small_heap();
    q.unified = false;
    const MemoryBudgets budgets = split_memory(q);
    EXPECT_TRUE(budgets.is_paged);
    EXPECT_FALSE(budgets.pins);
    EXPECT_EQ(budgets.vram, 1396 * kMiB - 256 * kMiB);
    q.free_vram = 8 * kGiB;
    q.vram_budget = kGiB;
    EXPECT_TRUE(split_memory(q).pins);
}

TEST(MemoryBudgets, UnifiedBudgetsNeverAddUpToMore) {
    const unsigned seed = std::random_device{}();
    RecordProperty("seed", static_cast<int>(seed));
    std::mt19937 random(seed);
    const auto up_to = [&](uint64_t bytes) {
        return std::uniform_int_distribution<uint64_t>(1, bytes)(random);
    };
    for (int i = 0; i < 10000; ++i) {
        MemoryQuestion q{.unified = true,
                         .vram_budget = i % 3 == 0 ? up_to(4 * kGiB) : 0,
                         .ram_budget = up_to(4 * kGiB),
                         .free_vram = up_to(8 * kGiB),
                         .free_ram = up_to(8 * kGiB),
                         .whole_vram = up_to(4 * kGiB),
                         .least_vram = up_to(kGiB),
                         .full_tier = up_to(4 * kGiB),
                         .least_tier = up_to(64 * kMiB),
                         .session_ram = up_to(64 * kMiB),
                         .has_experts = i % 2 == 0,
                         .must_page = i % 5 == 0,
                         .must_pin = i % 15 == 0,
                         .pins_take_vram = i % 7 < 4};
        const MemoryBudgets budgets = split_memory(q);
        SCOPED_TRACE(testing::Message() << "seed " << seed << ", case " << i);
        const uint64_t ram = std::max(q.ram_budget, q.session_ram) - q.session_ram;
        if (q.vram_budget != 0) {
            ASSERT_LE(budgets.vram, q.vram_budget);
        }
        if (!budgets.is_paged) {
            ASSERT_LE(budgets.vram, std::max<uint64_t>(ram, 1));
            if (q.has_experts) {
                ASSERT_LE(q.whole_vram, budgets.vram);
            }
        } else if (budgets.tier > 0) {
            ASSERT_LE(budgets.vram + budgets.tier, ram);
        }
        if (budgets.is_paged && q.vram_budget == 0 && q.least_vram + q.least_tier <= ram) {
            ASSERT_GE(budgets.tier, q.least_tier);
            if (q.least_vram <= vram_for_weights(q)) {
                ASSERT_GE(budgets.vram, q.least_vram);
            }
        }
        if (budgets.is_paged && budgets.pins && q.pins_take_vram) {
            const uint64_t vram = vram_for_weights(q);
            ASSERT_LE(std::min(budgets.tier, q.full_tier) + std::min({budgets.vram, vram, q.whole_vram}),
                      vram);
        }
    }
}

}  // namespace
}  // namespace vkmoe
