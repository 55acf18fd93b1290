// How bytes for experts become slots and a ring.

#include "experts/slot_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace vkmoe {
namespace {

/// Qwen3-30B-A3B in Q4_K_M: half of the layers have a down matrix of Q6_K.
constexpr uint64_t kSmall = 2'654'208;
constexpr uint64_t kLarge = 3'059'712;

std::vector<uint64_t> mixed_layers() {
    std::vector<uint64_t> layers;
    for (int i = 0; i < 48; ++i) layers.push_back(i % 2 == 0 ? kLarge : kSmall);
    return layers;
}

uint64_t all_bytes(const std::vector<uint64_t>& layers, uint32_t n_experts) {
    uint64_t bytes = 0;
    for (uint64_t record : layers) bytes += n_experts * slot_bytes_of(record);
    return bytes;
}

/// What must hold of every plan.
void check(const SlotPlan& plan, uint64_t bytes, const std::vector<uint64_t>& layers, uint32_t n_experts,
           uint32_t n_used) {
    EXPECT_LE(plan.total_bytes(), bytes);
    EXPECT_TRUE(std::is_sorted(plan.slot_bytes.begin(), plan.slot_bytes.end()));
    ASSERT_EQ(plan.layers.size(), layers.size());
    for (size_t i = 0; i < layers.size(); ++i) {
        const PageLayer& layer = plan.layers[i];
        EXPECT_EQ(uint64_t{layer.record_units} * 16, (layers[i] + 15) / 16 * 16);
        EXPECT_LE(layer.end_slot, plan.n_slots());
        EXPECT_GE(layer.end_slot - layer.first_slot, std::min(n_used, n_experts)) << "layer " << i;
        for (uint32_t slot = layer.first_slot; slot < layer.end_slot; ++slot)
            ASSERT_GE(plan.slot_bytes[slot], layers[i]) << "slot " << slot;
    }
    if (plan.holds_all) {
        EXPECT_EQ(plan.n_slots(), layers.size() * n_experts);
        EXPECT_EQ(plan.n_places(), plan.n_slots());
        return;
    }
    ASSERT_GE(plan.ring_slots, 1u);
    ASSERT_GE(plan.wave_slots, 1u);
    EXPECT_TRUE(plan.ring_slots == plan.wave_slots || plan.ring_slots == 2 * plan.wave_slots);
    EXPECT_LE(plan.ring_first, plan.n_slots());
    EXPECT_TRUE(plan.ring_first == plan.n_slots() || plan.ring_first + plan.ring_slots == plan.n_slots());
    const uint64_t largest = *std::max_element(layers.begin(), layers.end());
    for (uint32_t place = plan.ring_first; place < plan.ring_first + plan.ring_slots; ++place)
        EXPECT_GE(plan.place_bytes_of(place), largest);
    EXPECT_GE(plan.n_waves(n_experts), 1 + (n_experts + plan.ring_slots - 1) / plan.ring_slots);
}

TEST(SlotPlan, HoldsForAnyBytes) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    for (int trial = 0; trial < 500; ++trial) {
        const auto n_experts = static_cast<uint32_t>(1 + random() % 200);
        const auto n_used = static_cast<uint32_t>(1 + random() % std::min(n_experts, 10u));
        std::vector<uint64_t> sizes(1 + random() % 3);
        for (uint64_t& size : sizes) size = 16 + random() % 4'000'000;
        std::vector<uint64_t> layers(1 + random() % 12);
        for (uint64_t& layer : layers) layer = sizes[random() % sizes.size()];
        const uint64_t least = least_slot_bytes(layers, n_used);
        const uint64_t all = all_bytes(layers, n_experts);
        for (uint64_t bytes : {least, least + 1, least + random() % (all + 1), 2 * all}) {
            SCOPED_TRACE(testing::Message() << n_experts << " experts, " << n_used << " used, " << bytes
                                            << " of " << all << " bytes");
            check(plan_slots(bytes, layers, n_experts, n_used), bytes, layers, n_experts, n_used);
        }
    }
}

TEST(SlotPlan, MixedSizesWasteLittle) {
    const std::vector<uint64_t> layers = mixed_layers();
    const uint64_t all = all_bytes(layers, 128);
    for (double share : {0.1, 0.25, 0.5, 0.75, 0.95}) {
        const auto bytes = static_cast<uint64_t>(share * static_cast<double>(all));
        const SlotPlan plan = plan_slots(bytes, layers, 128, 8);
        check(plan, bytes, layers, 128, 8);
        // Each slot holds a record of the layers whose range it is in, and these are of one size here.
        uint64_t held = 0;
        for (uint32_t slot = 0; slot < plan.n_slots(); ++slot) {
            uint64_t smallest = UINT64_MAX;
            for (size_t i = 0; i < layers.size(); ++i) {
                if (slot >= plan.layers[i].first_slot && slot < plan.layers[i].end_slot)
                    smallest = std::min(smallest, layers[i]);
            }
            held += smallest;
        }
        held += uint64_t{plan.ring_slots} * kLarge;
        EXPECT_GT(static_cast<double>(held), 0.95 * static_cast<double>(bytes)) << "at " << share;
    }
}

TEST(SlotPlan, EverythingFits) {
    const std::vector<uint64_t> layers = mixed_layers();
    const SlotPlan plan = plan_slots(all_bytes(layers, 128), layers, 128, 8);
    EXPECT_TRUE(plan.holds_all);
    EXPECT_EQ(plan.n_waves(128), 1u);
}

TEST(SlotPlan, TheLeastBorrowsItsRing) {
    const std::vector<uint64_t> layers = mixed_layers();
    const uint64_t least = least_slot_bytes(layers, 8);
    EXPECT_EQ(least, 8 * slot_bytes_of(kLarge));
    const SlotPlan plan = plan_slots(least, layers, 128, 8);
    EXPECT_EQ(plan.n_slots(), 8u);
    EXPECT_EQ(plan.n_places(), 8u);
    EXPECT_EQ(plan.ring_slots, 8u);
    EXPECT_EQ(plan.wave_slots, 4u);
}

}  // namespace
}  // namespace vkmoe
