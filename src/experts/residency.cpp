#include "experts/residency.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "pager/policy.h"

namespace vkmoe {
namespace {

constexpr uint8_t kProtected = 1;  // the look-ahead wants it: leaves last
constexpr uint8_t kLive = 2;       // this step computes with it: stays

/// Of kScoreOne; the same in float32 on the device.
uint32_t probability_16(float probability) {
    // Comparisons with NaN are false.
    if (!(probability > 0)) return 0;
    return static_cast<uint32_t>(std::min(probability * 65536.0F, 65536.0F));
}

}  // namespace

ResidencyShape one_pool(uint32_t n_layers, uint32_t n_experts, uint32_t n_slots, uint32_t record_units) {
    ResidencyShape shape{n_layers, n_experts, n_slots, {}};
    shape.layers.assign(n_layers, PageLayer{0, n_slots, record_units, 0});
    return shape;
}

Residency::Residency(ResidencyShape shape) : shape_(std::move(shape)) {
    assert(shape_.layers.size() == shape_.n_layers);
    const size_t n_all = size_t{shape_.n_layers} * shape_.n_experts;
    slots_.assign(shape_.n_slots, kNowhere);
    experts_.assign(n_all, PageExpert{kNowhere, 0});
    layer_of_.resize(n_all);
    for (size_t i = 0; i < n_all; ++i) layer_of_[i] = static_cast<uint32_t>(i / shape_.n_experts);
    used_.resize(shape_.n_experts);
    live_.assign(shape_.n_slots, 0);
    // resolve() must not run out of memory half way: a slot would count as filled that nobody fills.
    step_.misses.reserve(shape_.n_experts);
    step_.prefetches.reserve(kMaxPredictedExperts);
    marked_.reserve(2 * (size_t{shape_.n_experts} + kMaxPredictedExperts));
    victims_.reserve(size_t{shape_.n_experts} + 1);
}

void Residency::mark_used(std::span<const uint32_t> ids) {
    std::fill(used_.begin(), used_.end(), uint8_t{0});
    for (const uint32_t id : ids) {
        if (id < shape_.n_experts) used_[id] = 1;
    }
}

const ResidencyStep& Residency::resolve(uint32_t layer, std::span<const uint32_t> ids,
                                        std::span<const uint32_t> predicted,
                                        std::span<const float> probabilities) {
    assert(layer < shape_.n_layers && predicted.size() == probabilities.size());
    step_.misses.clear();
    step_.prefetches.clear();
    mark_used(ids);
    uint32_t n_used_ahead = 0;
    uint32_t n_used = 0;
    uint32_t n_repeats = 0;
    PageExpert* const own = &experts_[size_t{layer} * shape_.n_experts];
    for (uint32_t e = 0; e < shape_.n_experts; ++e) {
        n_used += used_[e];
        n_repeats += used_[e] & was_used(own[e].score);
        own[e].score = updated_score(own[e].score, used_[e]);
        if (used_[e] == 0 || own[e].slot == kNowhere) continue;
        const uint32_t slot = own[e].slot;
        add_to(header_.n_hits, 1);
        if ((slots_[slot] & kPrefetchedBit) != 0) {
            slots_[slot] &= ~kPrefetchedBit;
            ++n_used_ahead;
        }
        live_[slot] = kLive;
        marked_.push_back(slot);
    }
    add_to(header_.n_prefetched_used, n_used_ahead);
    step_.hit_ids.assign(ids.size(), kNowhere);
    step_.miss_ids.assign(ids.size(), kNowhere);
    for (size_t i = 0; i < ids.size(); ++i) {
        if (ids[i] < shape_.n_experts)
            (own[ids[i]].slot == kNowhere ? step_.miss_ids : step_.hit_ids)[i] = ids[i];
    }
    looks_ahead_ = layer + 1 < shape_.n_layers && !predicted.empty();
    if (looks_ahead_) protect(layer + 1, predicted);
    fetch_missing(layer);
    if (looks_ahead_) fetch_ahead(layer, predicted, probabilities);
    header_.reuse = updated_reuse(header_.reuse, n_used, n_repeats);
    header_.prefetch_threshold = updated_threshold(
        header_.prefetch_threshold, static_cast<uint32_t>(step_.prefetches.size()), n_used_ahead);
    for (const uint32_t slot : marked_) live_[slot] = 0;
    marked_.clear();
    return step_;
}

void Residency::protect(uint32_t next_layer, std::span<const uint32_t> predicted) {
    for (const uint32_t id : predicted) {
        if (id >= shape_.n_experts) continue;
        const uint32_t slot = experts_[size_t{next_layer} * shape_.n_experts + id].slot;
        if (slot == kNowhere) continue;
        live_[slot] = kProtected;
        marked_.push_back(slot);
    }
}

void Residency::fetch_missing(uint32_t layer) {
    const uint32_t first = layer * shape_.n_experts;
    size_t n_missing = 0;
    for (uint32_t e = 0; e < shape_.n_experts; ++e)
        n_missing += used_[e] != 0 && experts_[first + e].slot == kNowhere ? 1 : 0;
    if (n_missing == 0) return;
    find_victims(layer, shape_.layers[layer], n_missing);
    assert(victims_.size() == n_missing);
    size_t next = 0;
    for (uint32_t e = 0; e < shape_.n_experts; ++e) {
        if (used_[e] == 0 || experts_[first + e].slot != kNowhere) continue;
        const uint32_t slot = victims_[next++].slot;
        add_to(header_.n_misses, 1);
        assign(first + e, slot, 0);
        step_.misses.push_back({first + e, slot});
    }
}

void Residency::fetch_ahead(uint32_t layer, std::span<const uint32_t> predicted,
                            std::span<const float> probabilities) {
    if (header_.link_records <= step_.misses.size()) return;
    const size_t budget = header_.link_records - step_.misses.size();
    const uint32_t first = (layer + 1) * shape_.n_experts;
    const auto is_missing = [&](uint32_t id) {
        return id < shape_.n_experts && experts_[first + id].slot == kNowhere;
    };
    // Duplicates make the list of victims longer than need be, no more.
    const size_t n_missing =
        static_cast<size_t>(std::count_if(predicted.begin(), predicted.end(), is_missing));
    if (n_missing == 0) return;
    find_victims(layer, shape_.layers[layer + 1], std::min(n_missing, budget));
    size_t next = 0;
    for (size_t i = 0; i < predicted.size() && next < victims_.size(); ++i) {
        if (!is_missing(predicted[i])) continue;
        const uint32_t expert = first + predicted[i];
        const Victim victim = victims_[next];
        const uint32_t key = prefetch_key(probability_16(probabilities[i]), header_.prefetch_threshold,
                                          experts_[expert].score, header_.reuse);
        if (victim.key <= key || victim.key == kWantedKey) continue;
        ++next;
        add_to(header_.n_prefetched, 1);
        assign(expert, victim.slot, kPrefetchedBit);
        step_.prefetches.push_back({expert, victim.slot});
    }
}

uint32_t Residency::key_of(uint32_t slot, uint32_t now) const {
    if (slots_[slot] == kNowhere) return kEmptyKey;
    if (live_[slot] == kProtected) return kWantedKey;
    const uint32_t expert = slots_[slot] & ~kPrefetchedBit;
    const uint32_t layer = layer_of_[expert];
    uint32_t steps = steps_until(layer, now, shape_.n_layers);
    // What the look-ahead does not name will hardly be used at this turn of its layer.
    if (looks_ahead_ && layer == now + 1) steps += shape_.n_layers;
    return eviction_key(experts_[expert].score, steps, header_.reuse);
}

/// Sets victims_ to the n slots of the range (fewer where there are no more) that leave first.
void Residency::find_victims(uint32_t now, const PageLayer& range, size_t n) {
    victims_.clear();
    for (uint32_t slot = range.first_slot; slot < range.end_slot; ++slot) {
        if (live_[slot] == kLive) continue;
        const uint32_t key = key_of(slot, now);
        // Slots come in ascending order, so that one of the same key as the last of the list comes after it.
        if (victims_.size() == n) {
            if (key <= victims_.back().key) continue;
            victims_.pop_back();
        }
        const auto at =
            std::upper_bound(victims_.begin(), victims_.end(), key,
                             [](uint32_t value, const Victim& victim) { return value > victim.key; });
        victims_.insert(at, Victim{key, slot});
    }
}

void Residency::empty(uint32_t slot) {
    if (slots_[slot] == kNowhere) return;
    forget(slot);
    add_to(header_.n_evictions, 1);
}

void Residency::assign(uint32_t expert, uint32_t slot, uint32_t bit) {
    empty(slot);
    slots_[slot] = expert | bit;
    experts_[expert].slot = slot;
    add_to(header_.units, shape_.layers[layer_of_[expert]].record_units);
    live_[slot] = kLive;
    marked_.push_back(slot);
}

const ResidencyBatch& Residency::batch(uint32_t layer, std::span<const uint32_t> ids, uint32_t ring_first,
                                       uint32_t ring_slots, uint32_t wave_slots) {
    assert(layer < shape_.n_layers && ring_slots >= wave_slots && wave_slots > 0);
    mark_used(ids);
    const uint32_t first = layer * shape_.n_experts;
    bool any_missing = false;
    for (uint32_t e = 0; e < shape_.n_experts; ++e)
        any_missing |= used_[e] != 0 && experts_[first + e].slot == kNowhere;
    if (any_missing) {
        for (uint32_t slot = ring_first; slot < shape_.n_slots; ++slot) empty(slot);
    }
    batch_.waves.assign(shape_.n_experts, kNowhere);
    batch_.copies.clear();
    for (uint32_t e = 0; e < shape_.n_experts; ++e) {
        if (used_[e] == 0) continue;
        if (experts_[first + e].slot != kNowhere) {
            batch_.waves[e] = 0;
            add_to(header_.n_batch_hits, 1);
            continue;
        }
        const auto i = static_cast<uint32_t>(batch_.copies.size());
        batch_.waves[e] = 1 + i / wave_slots;
        batch_.copies.push_back({first + e, ring_first + i % ring_slots});
        add_to(header_.n_streamed, 1);
        add_to(header_.units, shape_.layers[layer].record_units);
    }
    return batch_;
}

void Residency::place(uint32_t expert, uint32_t slot) {
    assert(slots_[slot] == kNowhere && experts_[expert].slot == kNowhere);
    slots_[slot] = expert;
    experts_[expert].slot = slot;
}

void Residency::forget(uint32_t slot) {
    if (slots_[slot] == kNowhere) return;
    experts_[slots_[slot] & ~kPrefetchedBit].slot = kNowhere;
    slots_[slot] = kNowhere;
}

}  // namespace vkmoe
