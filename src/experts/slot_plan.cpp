#include "experts/slot_plan.h"

#include <algorithm>
#include <cassert>
#include <numeric>

namespace vkmoe {

namespace {

/// Slots start at multiples of this, as what an arena hands out does.
constexpr uint64_t kSlotAlignment = 256;
/// Records that are smaller than a slot by no more than one part in so many share its size.
constexpr uint64_t kSameSizeParts = 32;
/// The ring takes one part in so many of the bytes, between these numbers of places.
constexpr uint64_t kRingParts = 8;
constexpr uint64_t kMostRingSlots = 32;
/// A ring of its own only while the slots hold what so many tokens use.
constexpr uint64_t kLeastTokensBesideRing = 2;

/// Layers whose records are of one size.
struct SizeClass {
    uint64_t slot_bytes = 0;
    uint64_t n_records = 0;
    uint64_t n_slots = 0;
};

std::vector<SizeClass> size_classes(std::span<const uint64_t> record_bytes, uint32_t n_experts) {
    std::vector<uint64_t> sizes;
    for (uint64_t bytes : record_bytes) sizes.push_back(slot_bytes_of(bytes));
    std::sort(sizes.begin(), sizes.end(), std::greater<>());
    std::vector<SizeClass> classes;
    for (uint64_t size : sizes) {
        if (classes.empty() || classes.back().slot_bytes - size > classes.back().slot_bytes / kSameSizeParts)
            classes.push_back({.slot_bytes = size});
        classes.back().n_records += n_experts;
    }
    std::reverse(classes.begin(), classes.end());
    return classes;
}

/// Deals bytes out so that each class has the same share of its records in slots, and what is left over one
/// slot at a time to the class that is furthest behind.
void deal(uint64_t bytes, std::vector<SizeClass>& classes, uint32_t n_used) {
    uint64_t all = 0;
    for (const SizeClass& size : classes) all += size.n_records * size.slot_bytes;
    uint64_t left = bytes;
    const double share = all == 0 ? 0 : std::min(1.0, static_cast<double>(bytes) / static_cast<double>(all));
    for (SizeClass& size : classes) {
        size.n_slots = static_cast<uint64_t>(share * static_cast<double>(size.n_records));
        // Too few for a token: these layers then use larger slots.
        if (&size != &classes.back() && size.n_slots < n_used) size.n_slots = 0;
        left -= std::min(left, size.n_slots * size.slot_bytes);
    }
    SizeClass& largest = classes.back();
    // The last class must hold a token's experts, whatever the others have to give up for it.
    while (largest.n_slots < n_used) {
        if (left >= largest.slot_bytes) {
            ++largest.n_slots;
            left -= largest.slot_bytes;
            continue;
        }
        const auto giver = std::find_if(classes.begin(), classes.end(),
                                        [](const SizeClass& size) { return size.n_slots > 0; });
        assert(giver != classes.end() && &*giver != &largest);
        const uint64_t given = giver->n_slots <= n_used ? giver->n_slots : 1;
        giver->n_slots -= given;
        left += given * giver->slot_bytes;
    }
    for (;;) {
        SizeClass* behind = nullptr;
        for (SizeClass& size : classes) {
            const bool open = size.n_slots < size.n_records && size.slot_bytes <= left &&
                              (size.n_slots > 0 || &size == &largest);
            if (open &&
                (behind == nullptr || size.n_slots * behind->n_records < behind->n_slots * size.n_records))
                behind = &size;
        }
        if (behind == nullptr) break;
        ++behind->n_slots;
        left -= behind->slot_bytes;
    }
}

}  // namespace

uint64_t slot_bytes_of(uint64_t record_bytes) {
    return (record_bytes + kSlotAlignment - 1) / kSlotAlignment * kSlotAlignment;
}

uint64_t least_slot_bytes(std::span<const uint64_t> record_bytes, uint32_t n_used) {
    if (record_bytes.empty()) return 0;
    return n_used * slot_bytes_of(*std::max_element(record_bytes.begin(), record_bytes.end()));
}

uint64_t SlotPlan::total_bytes() const {
    uint64_t total = std::accumulate(slot_bytes.begin(), slot_bytes.end(), uint64_t{0});
    return total + (n_places() - n_slots()) * place_bytes;
}

uint32_t SlotPlan::n_waves(uint32_t n_experts) const {
    return wave_slots == 0 ? 1 : 1 + (n_experts + wave_slots - 1) / wave_slots;
}

SlotPlan plan_slots(uint64_t bytes, std::span<const uint64_t> record_bytes, uint32_t n_experts,
                    uint32_t n_used) {
    assert(bytes >= least_slot_bytes(record_bytes, n_used));
    SlotPlan plan;
    if (record_bytes.empty()) return plan;
    std::vector<SizeClass> classes = size_classes(record_bytes, n_experts);
    const uint64_t largest = classes.back().slot_bytes;

    uint64_t all = 0;
    for (const SizeClass& size : classes) all += size.n_records * size.slot_bytes;
    plan.holds_all = bytes >= all;
    if (!plan.holds_all) {
        plan.place_bytes = largest;
        uint64_t ring = std::clamp<uint64_t>(bytes / kRingParts / largest, 2, kMostRingSlots) / 2 * 2;
        ring = std::min<uint64_t>(ring, n_experts);
        const bool borrowed = bytes < (ring + kLeastTokensBesideRing * n_used) * largest;
        if (!borrowed) bytes -= ring * largest;
        deal(bytes, classes, n_used);
        if (borrowed) ring = std::min<uint64_t>(classes.back().n_slots, kMostRingSlots);
        plan.ring_slots = static_cast<uint32_t>(ring);
        plan.wave_slots = std::max(plan.ring_slots / 2, 1u);
        plan.ring_slots = plan.ring_slots == 1 ? 1 : 2 * plan.wave_slots;
        uint64_t n_slots = 0;
        for (const SizeClass& size : classes) n_slots += size.n_slots;
        plan.ring_first = static_cast<uint32_t>(borrowed ? n_slots - plan.ring_slots : n_slots);
    } else {
        for (SizeClass& size : classes) size.n_slots = size.n_records;
    }

    std::vector<uint32_t> first;  // of each class
    for (const SizeClass& size : classes) {
        first.push_back(plan.n_slots());
        plan.slot_bytes.insert(plan.slot_bytes.end(), size.n_slots, size.slot_bytes);
    }
    for (uint64_t record : record_bytes) {
        const auto fits = std::find_if(classes.begin(), classes.end(),
                                       [record](const SizeClass& size) { return size.slot_bytes >= record; });
        const auto index = static_cast<size_t>(fits - classes.begin());
        const uint32_t own_end = first[index] + static_cast<uint32_t>(fits->n_slots);
        plan.layers.push_back({.first_slot = first[index],
                               .end_slot = fits->n_slots >= n_used ? own_end : plan.n_slots(),
                               .record_units = static_cast<uint32_t>((record + 15) / 16),
                               .padding = 0});
    }
    if (plan.holds_all) plan.ring_first = plan.n_slots();
    return plan;
}

}  // namespace vkmoe
