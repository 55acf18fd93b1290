// Which heaps memory comes from, and how much of them there is, on invented devices.

#include "gpu/heaps.h"
#include "gpu/caps.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace vkmoe {
namespace {

constexpr uint64_t kMiB = 1ull << 20;
constexpr uint64_t kGiB = 1ull << 30;

using Heaps = std::vector<uint32_t>;

/// One memory type for each heap. L: device-local, V: host-visible and coherent, C: cached.
struct Heap {
    uint64_t size;
    std::string_view flags;
};

DeviceCaps device(VkPhysicalDeviceType type, const std::vector<Heap>& heaps) {
    DeviceCaps caps;
    caps.type = type;
    for (const Heap& heap : heaps) {
        const auto has = [&](char flag) { return heap.flags.find(flag) != std::string_view::npos; };
        caps.memory_types.push_back(
            {static_cast<uint32_t>(caps.heaps.size()), has('L'), has('V'), has('V'), has('C')});
        caps.heaps.push_back({heap.size, heap.size, has('L')});
    }
    return caps;
}

DeviceCaps card(const std::vector<Heap>& heaps) {
    return device(VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU, heaps);
}

DeviceCaps integrated(const std::vector<Heap>& heaps) {
    return device(VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU, heaps);
}

uint32_t best_type(MemoryKind kind, const DeviceCaps& caps) {
    return memory_types_for(kind, caps, plan_heaps(caps), UINT32_MAX).front();
}

TEST(Heaps, ACardUsesItsOwnMemory) {
    const DeviceCaps plain = card({{8 * kGiB, "L"}, {16 * kGiB, "VC"}});
    EXPECT_EQ(plan_heaps(plain).device, (Heaps{0}));
    EXPECT_FALSE(plan_heaps(plain).unified);
    EXPECT_FALSE(plan_heaps(plain).upload_is_device);
    EXPECT_EQ(best_type(MemoryKind::kUpload, plain), 1U);

    const DeviceCaps resizable_bar = card({{8 * kGiB, "LV"}, {16 * kGiB, "VC"}});
    EXPECT_EQ(plan_heaps(resizable_bar).device, (Heaps{0}));
    EXPECT_FALSE(plan_heaps(resizable_bar).unified) << "it is still a bus away";
}

TEST(Heaps, TheWindowOfACardIsLeftAloneAndNamed) {
    const HeapPlan plan = plan_heaps(card({{256 * kMiB, "LV"}, {16 * kGiB, "VC"}, {8 * kGiB, "L"}}));
    EXPECT_EQ(plan.device, (Heaps{2}));
    EXPECT_EQ(plan.unused, (Heaps{0}));
}

TEST(Heaps, ASecondHeapOfACardIsUsed) {
    const DeviceCaps caps = card({{8 * kGiB, "L"}, {16 * kGiB, "L"}, {16 * kGiB, "VC"}});
    const HeapPlan plan = plan_heaps(caps);
    EXPECT_EQ(plan.device, (Heaps{1, 0})) << "the largest first";
    EXPECT_TRUE(plan.unused.empty());
    EXPECT_EQ(device_heap_totals(caps, plan).size, 24 * kGiB);
    EXPECT_EQ(memory_types_for(MemoryKind::kDevice, caps, plan, UINT32_MAX), (Heaps{1, 0}));
    EXPECT_EQ(memory_types_for(MemoryKind::kDevice, caps, plan, 0b101), (Heaps{0}));
}

TEST(Heaps, ACarveOutIsNoLimitToAnIntegratedGpu) {
    for (const std::string_view carve_out : {"L", "LV"}) {
        const DeviceCaps caps = integrated({{256 * kMiB, carve_out}, {12 * kGiB, "VC"}});
        const HeapPlan plan = plan_heaps(caps);
        EXPECT_TRUE(plan.unified);
        EXPECT_TRUE(plan.upload_is_device);
        EXPECT_EQ(plan.device.front(), 1U);
        EXPECT_GE(device_heap_totals(caps, plan).size, 12 * kGiB);
        EXPECT_EQ(plan.unused, (carve_out == "L" ? Heaps{0} : Heaps{})) << "out of the host's sight";
        EXPECT_EQ(best_type(MemoryKind::kDevice, caps), 1U);
    }
    // RADV splits the memory of an APU in two.
    EXPECT_EQ(plan_heaps(integrated({{5 * kGiB, "V"}, {10 * kGiB, "LV"}})).device, (Heaps{1, 0}));
}

TEST(Heaps, AnIntegratedGpuWithMostMemoryOutOfSightIsACard) {
    const HeapPlan plan = plan_heaps(integrated({{16 * kGiB, "L"}, {256 * kMiB, "LV"}, {8 * kGiB, "VC"}}));
    EXPECT_FALSE(plan.unified);
    EXPECT_EQ(plan.device, (Heaps{0}));
    EXPECT_EQ(plan.unused, (Heaps{1}));
}

TEST(Heaps, UnifiedMemoryPrefersTypesThatAreCached) {
    DeviceCaps caps = integrated({{16 * kGiB, "L"}});
    caps.memory_types.push_back({0, true, true, true, false});
    caps.memory_types.push_back({0, true, true, true, true});
    EXPECT_TRUE(plan_heaps(caps).unified);
    EXPECT_TRUE(plan_heaps(caps).upload_is_device);
    EXPECT_EQ(memory_types_for(MemoryKind::kDevice, caps, plan_heaps(caps), UINT32_MAX), (Heaps{2}));
    EXPECT_EQ(best_type(MemoryKind::kReadback, caps), 2U);
    EXPECT_TRUE(memory_types_for(MemoryKind::kDevice, caps, plan_heaps(caps), 0b001).empty());
}

TEST(Heaps, ABudgetBeyondTheHeapIsCut) {
    EXPECT_EQ(heap_leaves({.size = kGiB, .budget = UINT64_MAX}), kGiB);
    EXPECT_EQ(heap_leaves({.size = kGiB, .budget = UINT64_MAX, .usage = 100, .taken = 200}), kGiB - 200);
    EXPECT_EQ(heap_leaves({.size = kGiB, .budget = 1000, .usage = 300, .taken = 200}), 700U);
    EXPECT_EQ(heap_leaves({.size = kGiB, .budget = 1000, .usage = UINT64_MAX}), 0U);
    EXPECT_EQ(heap_leaves({.size = kGiB, .budget = kGiB, .taken = 2 * kGiB}), 0U);
    EXPECT_EQ(heap_leaves({}), 0U);
}

TEST(Heaps, OfSeveralHeapsThePartsOfChunksAreNotCounted) {
    const auto leave = [](std::initializer_list<uint64_t> sizes) {
        std::vector<HeapState> heaps;
        for (const uint64_t size : sizes) heaps.push_back({.size = size, .budget = size});
        return heaps_leave(heaps, 256 * kMiB);
    };
    EXPECT_EQ(leave({}), 0U);
    EXPECT_EQ(leave({100 * kMiB}), 100 * kMiB);
    EXPECT_EQ(leave({8 * kGiB, 8 * kGiB}), 16 * kGiB - 256 * kMiB);
    EXPECT_EQ(leave({8 * kGiB, 200 * kMiB}), 8 * kGiB);
    EXPECT_EQ(leave({200 * kMiB, 100 * kMiB}), 200 * kMiB);
}

}  // namespace
}  // namespace vkmoe
