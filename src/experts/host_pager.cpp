#include "experts/host_pager.h"

#include "experts/make_record_copier.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

namespace vkmoe {

namespace {

ResidencyShape residency_shape(const PagerShape& shape, const SlotPlan& plan) {
    return {.n_layers = shape.n_layers(),
            .n_experts = shape.n_experts,
            .n_slots = plan.n_slots(),
            .layers = plan.layers};
}

std::span<const uint32_t> words(const Allocation& memory, uint32_t n) {
    return {reinterpret_cast<const uint32_t*>(memory.mapped), n};
}

std::span<const float> floats(const Allocation& memory, uint32_t n) {
    return {reinterpret_cast<const float*>(memory.mapped), n};
}

void write_words(const Allocation& to, std::span<const uint32_t> values) {
    assert(values.size_bytes() <= to.size);
    std::memcpy(to.mapped, values.data(), values.size_bytes());
}

}  // namespace

HostPager::HostPager(KernelContext& kernels, const PagerShape& shape, const SlotPlan& plan,
                     const SlotPool& pool, HostTier& host_tier, CopyBy copy_by)
    : shape_(shape),
      plan_(plan),
      pool_(pool),
      host_tier_(host_tier),
      residency_(residency_shape(shape, plan)),
      copier_(make_record_copier(copy_by, kernels.shared_device(), std::ranges::max(shape.record_bytes))),
      arena_(kernels.shared_device(), MemoryKind::kUpload, "pager tables") {
    // Staging memory and slots share a heap: take staging while the number of slots can still shrink.
    if (kernels.plan().heaps.upload_is_device && !host_tier.all_pinned()) copier_->prepare();
    records_ = arena_.allocate(uint64_t{shape.n_layers()} * shape.n_experts * sizeof(uint64_t));
    // Half of the host tier's places may be held by copies under way, so that reads can go on into the rest.
    most_held_ = host_tier.all_resident() ? SIZE_MAX : std::max<size_t>(host_tier.fewest_places() / 2, 1);
    if (!host_tier.all_resident()) {
        host_tier.set_slots(plan.n_slots(), [this](uint32_t layer, uint32_t expert) {
            return residency_.experts()[layer * shape_.n_experts + expert].slot != kNowhere;
        });
    }
}

HostPager::~HostPager() {
    copier_.reset();  // which waits for what is under way
    if (!host_tier_.all_resident()) host_tier_.set_slots(0, {});
    while (!held_.empty()) {
        host_tier_.release(layer_of(held_.front().expert), held_.front().expert % shape_.n_experts);
        held_.pop_front();
    }
}

void HostPager::fill(const std::vector<uint32_t>& experts) {
    for (uint32_t slot = 0; slot < experts.size(); ++slot) {
        if (experts[slot] == kNowhere) continue;
        residency_.place(experts[slot], slot);
        write_record({.expert = experts[slot], .slot = slot});
    }
}

class HostPager::Step : public HostStep {
  public:
    Step(HostPager& pager, std::variant<HostResolve, HostBatch> what)
        : pager_(pager), what_(std::move(what)) {}

    Done run(Commands commands, uint64_t value, Scheduler& scheduler) const override {
        scheduler.wait(value);
        pager_.release_copied();
        return std::visit([&](const auto& step) { return pager_.run(step, commands, scheduler); }, what_);
    }

  private:
    HostPager& pager_;
    std::variant<HostResolve, HostBatch> what_;
};

std::unique_ptr<HostStep> HostPager::step(const HostResolve& resolve) {
    return std::make_unique<Step>(*this, resolve);
}

std::unique_ptr<HostStep> HostPager::step(const HostBatch& batch) {
    return std::make_unique<Step>(*this, batch);
}

HostStep::Done HostPager::run(const HostResolve& step, Commands commands, Scheduler& scheduler) {
    const ResidencyStep& found =
        residency_.resolve(step.layer, words(step.ids, step.n_pairs), words(step.predicted, step.n_predicted),
                           floats(step.probabilities, step.n_predicted));
    // From here on the policy takes what it chose for filled: whatever throws, what was not copied leaves.
    size_t n_misses_there = 0;
    size_t n_prefetches_there = 0;
    HostStep::Done done;
    try {
        write_words(step.hit_ids, found.hit_ids);
        write_words(step.miss_ids, found.miss_ids);
        write_words(step.miss_arguments, found.misses.empty() ? std::array<uint32_t, 3>{} : step.miss_groups);
        for (const RecordCopy& copy : found.misses) write_record(copy);
        for (const RecordCopy& copy : found.prefetches) write_record(copy);

        // A hit may be on a record that is still on its way.
        const bool hits = std::ranges::any_of(found.hit_ids, [](uint32_t id) { return id != kNowhere; });
        if (hits) {
            done.runs.push_back(commands[0].get());
            scheduler.submit(*commands[0], copier_->arrival(copied_at_));
        }
        uint64_t copied = 0;
        if (!found.misses.empty()) copied = copy(found.misses, {}, n_misses_there);
        if (!found.prefetches.empty()) copy(found.prefetches, {}, n_prefetches_there);
        read_ahead(step);
        if (!found.misses.empty()) done.waits = copier_->arrival(copied);
    } catch (...) {
        for (const RecordCopy& lost : std::span(found.misses).subspan(n_misses_there))
            residency_.forget(lost.slot);
        for (const RecordCopy& lost : std::span(found.prefetches).subspan(n_prefetches_there))
            residency_.forget(lost.slot);
        throw;
    }
    return done;
}

void HostPager::read_ahead(const HostResolve& step) {
    // Slots are not filled ahead from a disk, which would hold up what is wanted now: it reads ahead.
    if (!host_tier_.all_resident()) {
        for (uint32_t expert : words(step.predicted, step.n_predicted)) {
            const uint32_t index = (step.layer + 1) * shape_.n_experts + expert;
            if (expert < shape_.n_experts && residency_.experts()[index].slot == kNowhere)
                host_tier_.request(step.layer + 1, expert);
        }
    }
}

HostStep::Done HostPager::run(const HostBatch& step, Commands commands, Scheduler& scheduler) {
    const std::span<const uint32_t> ids = words(step.ids, step.n_pairs);
    const ResidencyBatch& plan =
        residency_.batch(step.layer, ids, plan_.ring_first, plan_.ring_slots, plan_.wave_slots);
    for (const RecordCopy& copy : plan.copies) write_record(copy);

    const auto n_waves = static_cast<uint32_t>(1 + (plan.copies.size() + plan_.wave_slots - 1) /
                                                       std::max(plan_.wave_slots, 1u));
    const auto copies_of = [&](uint32_t wave) {
        const size_t first = size_t{wave - 1} * plan_.wave_slots;
        return std::span(plan.copies)
            .subspan(first, std::min<size_t>(plan_.wave_slots, plan.copies.size() - first));
    };
    const bool overlaps = plan_.ring_slots > plan_.wave_slots;
    std::vector<uint32_t> wave_ids(step.n_pairs);
    std::array<uint64_t, 2> computed{};  // by parity: when the last wave of it is done
    const uint64_t slots_filled_at = copied_at_;
    uint64_t copied = 0;
    size_t arrived = 0;
    if (n_waves > 1) copied = copy(copies_of(1), {}, arrived);
    for (uint32_t wave = 0; wave < n_waves; ++wave) {
        // The ids' memory is the last but one wave's.
        if (computed[wave % 2] != 0) {
            scheduler.wait(computed[wave % 2]);
            scheduler.collect(*commands[wave % 2]);
        }
        bool any = false;
        for (size_t i = 0; i < wave_ids.size(); ++i) {
            const bool here = ids[i] < shape_.n_experts && plan.waves[ids[i]] == wave;
            wave_ids[i] = here ? ids[i] : kNowhere;
            any = any || here;
        }
        if (any) {
            write_words(step.wave_ids[wave % 2], wave_ids);
            // What is in slots may still be on its way there.
            computed[wave % 2] =
                scheduler.submit(*commands[wave % 2], copier_->arrival(wave > 0 ? copied : slots_filled_at));
        }
        if (wave == 0 || wave + 1 >= n_waves) continue;
        // The next wave's records take the places of the wave before this one; without a second half of the
        // ring, of this one.
        const uint64_t free_at = computed[overlaps ? (wave + 1) % 2 : wave % 2];
        std::vector<TimelinePoint> waits;
        if (free_at != 0) waits.push_back(scheduler.point(free_at));
        copied = copy(copies_of(wave + 1), waits, arrived);
    }
    HostStep::Done done;
    for (size_t parity : {0, 1}) {
        if (computed[parity] != 0) done.runs.push_back(commands[parity].get());
    }
    return done;
}

uint64_t HostPager::copy(std::span<const RecordCopy> copies, std::span<const TimelinePoint> waits,
                         size_t& arrived) {
    for (const RecordCopy& wanted : copies)
        host_tier_.request(layer_of(wanted.expert), wanted.expert % shape_.n_experts);
    moves_.clear();
    uint64_t value = 0;
    const auto submit = [&] {
        value = copier_->submit(moves_, waits);
        copied_at_ = value;
        for (size_t i = 0; i < moves_.size(); ++i) held_[held_.size() - 1 - i].copied_at = value;
        arrived += moves_.size();
        moves_.clear();
    };
    for (const RecordCopy& wanted : copies) {
        if (held_.size() >= most_held_) {
            if (!moves_.empty()) submit();
            wait_for_oldest();
        }
        const uint32_t layer = layer_of(wanted.expert);
        const HostRecord record = host_tier_.acquire(layer, wanted.expert % shape_.n_experts);
        held_.push_back({.copied_at = 0, .expert = wanted.expert});
        moves_.push_back(
            {.from = record,
             .to = pool_.places()[wanted.slot].slice(0, 16ull * plan_.layers[layer].record_units)});
    }
    if (!moves_.empty()) submit();
    return value;
}

void HostPager::release_copied() {
    const uint64_t reached = copier_->reached();
    while (!held_.empty() && held_.front().copied_at <= reached) {
        host_tier_.release(layer_of(held_.front().expert), held_.front().expert % shape_.n_experts);
        held_.pop_front();
    }
}

void HostPager::wait_for_oldest() {
    if (held_.empty()) return;
    copier_->wait(held_.front().copied_at);
    release_copied();
}

void HostPager::write_record(const RecordCopy& copy) {
    const uint64_t address = pool_.places()[copy.slot].address;
    std::memcpy(records_.mapped + uint64_t{copy.expert} * sizeof(address), &address, sizeof(address));
}

}  // namespace vkmoe
