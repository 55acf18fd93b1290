#include "experts/pager.h"

#include "base/error.h"
#include "base/log.h"
#include "base/units.h"
#include "experts/device_pager.h"
#include "experts/host_pager.h"

#include <algorithm>

namespace vkmoe {

namespace {

/// Records that are read from the file while others are copied to slots.
constexpr size_t kReadAhead = 16;

uint64_t table_bytes(PagerMode mode, const PagerShape& shape, uint64_t n_places) {
    return mode == PagerMode::kDevice ? DevicePager::table_bytes(shape, n_places) : 0;
}

/// Which expert each slot holds at first: the layers in turn, as many of each as find slots.
std::vector<uint32_t> first_experts(const PagerShape& shape, const SlotPlan& plan) {
    std::vector<uint32_t> slots(plan.n_slots(), kNowhere);
    std::vector<uint32_t> next;  // free slot of each layer's range, all before it being taken
    for (const PageLayer& layer : plan.layers) next.push_back(layer.first_slot);
    for (uint32_t expert = 0; expert < shape.n_experts; ++expert) {
        for (uint32_t layer = 0; layer < shape.n_layers(); ++layer) {
            uint32_t& slot = next[layer];
            while (slot < plan.layers[layer].end_slot && slots[slot] != kNowhere) ++slot;
            if (slot < plan.layers[layer].end_slot) slots[slot] = layer * shape.n_experts + expert;
        }
    }
    return slots;
}

}  // namespace

void PagerCounters::add(const PageHeader& header) {
    hits += value_of(header.n_hits);
    misses += value_of(header.n_misses);
    evictions += value_of(header.n_evictions);
    prefetched += value_of(header.n_prefetched);
    prefetched_used += value_of(header.n_prefetched_used);
    batch_hits += value_of(header.n_batch_hits);
    streamed += value_of(header.n_streamed);
    bytes_copied += 16 * value_of(header.units);
}

Pager::Pager(KernelContext& kernels, PagerMode mode, PagerShape shape, std::unique_ptr<HostTier> host_tier,
             const LinkSpeed& link, CopyBy copy_by)
    : kernels_(kernels),
      mode_(mode),
      shape_(std::move(shape)),
      host_tier_(std::move(host_tier)),
      link_(link),
      copy_by_(copy_by == CopyBy::kAuto ? link.copy_by() : copy_by) {
    kernels_.device().set_memory_reserve(least_bytes());
    kernels_.device().set_reclaimer([this](uint64_t) {
        const std::lock_guard lock(mutex_);
        if (n_uses_ == 0) drop_slots();
    });
}

Pager::~Pager() {
    kernels_.device().set_reclaimer({});
    kernels_.device().set_memory_reserve(0);
}

Pager::Use::Use(Pager* pager) : pager_(pager) {
    if (pager_ == nullptr) return;
    lock_ = std::unique_lock(pager_->mutex_);
    ++pager_->n_uses_;
    try {
        pager_->ensure_slots();
    } catch (...) {
        --pager_->n_uses_;
        throw;
    }
    start_ = std::chrono::steady_clock::now();
}

Pager::Use::~Use() {
    if (pager_ == nullptr) return;
    --pager_->n_uses_;
    pager_->publish(std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count());
}

uint64_t Pager::least_bytes(const Device& device, PagerMode mode, const PagerShape& shape) {
    const uint64_t slots = least_slot_bytes(shape.record_bytes, shape.n_used);
    return slots + SlotPool::overhead(device, slots) + table_bytes(mode, shape, shape.n_used);
}

SlotPlan Pager::plan_for(const Device& device, PagerMode mode, const PagerShape& shape, uint64_t free) {
    const uint64_t smallest =
        slot_bytes_of(*std::min_element(shape.record_bytes.begin(), shape.record_bytes.end()));
    const uint64_t most_places =
        std::min<uint64_t>(free / smallest, uint64_t{shape.n_layers()} * shape.n_experts) + 32;
    const uint64_t beside = table_bytes(mode, shape, most_places) + SlotPool::overhead(device, free);
    const uint64_t least = least_slot_bytes(shape.record_bytes, shape.n_used);
    return plan_slots(std::max(free - std::min(free, beside), least), shape.record_bytes, shape.n_experts,
                      shape.n_used);
}

void Pager::ensure_slots() {
    if (pool_ != nullptr) return;
    try {
        take_and_fill_slots();
    } catch (...) {
        free_slots();  // slots without a pager, or half filled, would be taken for ready
        throw;
    }
    ++generation_;
    {
        const std::lock_guard lock(published_mutex_);
        published_.n_slots = plan_.n_slots();
        published_.slot_bytes = plan_.total_bytes();
    }
    log_info("pager: {} of {} experts in {} of device memory{}", plan_.n_slots(),
             shape_.n_layers() * shape_.n_experts, human_bytes(pool_->committed_bytes()),
             plan_.holds_all ? "" : fmt::format(", prefill through a ring of {}", plan_.ring_slots));
}

void Pager::take_and_fill_slots() {
    Device& device = kernels_.device();
    const uint64_t least = least_bytes();
    const Device::MemoryEvents before = device.memory_events();
    uint64_t free = device.available_device_memory(MemoryShare::kReserved);
    if (free < least) {
        fail(ErrorCode::kOutOfMemory,
             "{} of device memory is left for experts, but the {} active experts of one token in one layer "
             "need {}; the smallest --vram-budget that works is {} MiB",
             human_bytes(free), shape_.n_used, human_bytes(least),
             mib_rounded_up(device.device_memory_taken() + least));
    }
    uint64_t refused = 0;
    for (uint64_t given = 0; !take_slots(free, given);) {
        refused = std::max(refused, plan_.total_bytes());
        if (free == least) {
            fail(ErrorCode::kOutOfMemory,
                 "device '{}' refused {} for experts, which the {} active experts of one token in one layer "
                 "need; close other programs or use a smaller context",
                 device.caps().name, human_bytes(least), shape_.n_used);
        }
        // Where it gave next to nothing, less at once may do.
        free = std::max(given >= least ? given : plan_.total_bytes() / 2, least);
    }
    // Others may have taken memory meanwhile; then the device refused nothing.
    if (refused != 0 && device.shrink_memory_budget(before)) {
        log_warn("device '{}' refused {} of memory for experts; continuing with {}", device.caps().name,
                 human_bytes(refused), human_bytes(pool_->committed_bytes()));
    }
    fill_slots();
}

bool Pager::take_slots(uint64_t free, uint64_t& given) {
    given = 0;
    plan_ = plan_for(kernels_.device(), mode_, shape_, free);
    // The cores that copy are those that compute, and waves of twice as many experts cost half: a prompt of
    // 128 tokens by a model of 4 layers, 16 experts a layer, took 1.035 to 1.05 of resident, 1.06 to 1.09 by
    // halves (lavapipe, 2 cores).
    const bool on_cpu = kernels_.device().caps().type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    if (on_cpu && mode_ == PagerMode::kHost && copy_by_ == CopyBy::kHost) plan_.use_whole_ring();
    try {
        pool_ = std::make_unique<SlotPool>(kernels_.shared_device(), plan_);
        for (const Allocation& place : pool_->places()) given += place.size;
        const bool has_all = pool_->places().size() == plan_.n_places();
        if (has_all && mode_ == PagerMode::kDevice) {
            on_device_ = std::make_unique<DevicePager>(kernels_, shape_, plan_, *pool_, *host_tier_);
        } else if (has_all) {
            on_host_ = std::make_unique<HostPager>(kernels_, shape_, plan_, *pool_, *host_tier_, copy_by_);
        }
        if (has_all) return true;
    } catch (const Error& error) {
        free_slots();
        if (error.code() != ErrorCode::kOutOfMemory) throw;
        log_debug("{}", error.what());
        return false;
    }
    free_slots();
    return false;
}

void Pager::free_slots() {
    on_device_.reset();
    on_host_.reset();
    pool_.reset();
}

void Pager::fill_slots() {
    const std::vector<uint32_t> experts = first_experts(shape_, plan_);
    if (on_device_) on_device_->fill(experts);
    if (on_host_) on_host_->fill(experts);
    apply_link_records();
    copy_records(experts);
}

void Pager::copy_records(const std::vector<uint32_t>& experts) {
    // In the order of the file, whose reads go on while records are copied.
    std::vector<uint32_t> slots;
    for (uint32_t slot = 0; slot < plan_.n_slots(); ++slot) {
        if (experts[slot] != kNowhere) slots.push_back(slot);
    }
    std::ranges::sort(slots, {}, [&](uint32_t slot) { return experts[slot]; });
    size_t n_requested = 0;
    Uploader uploader(kernels_.shared_device());
    for (size_t i = 0; i < slots.size(); ++i) {
        n_requested = std::max(n_requested, i);
        while (n_requested < std::min(i + kReadAhead, slots.size())) {
            const uint32_t wanted = experts[slots[n_requested]];
            if (!host_tier_->request(wanted / shape_.n_experts, wanted % shape_.n_experts)) break;
            ++n_requested;
        }
        const uint32_t slot = slots[i];
        const uint32_t layer = experts[slot] / shape_.n_experts;
        const uint32_t expert = experts[slot] % shape_.n_experts;
        const HostRecord record = host_tier_->acquire(layer, expert);
        const uint64_t bytes = 16ull * plan_.layers[layer].record_units;
        try {
            uploader.copy(pool_->places()[slot].slice(0, bytes), {record.data, bytes});
        } catch (...) {
            host_tier_->release(layer, expert);
            throw;
        }
        host_tier_->release(layer, expert);
    }
    uploader.flush();
}

void Pager::drop_slots() {
    if (pool_ == nullptr) return;
    kernels_.device().wait_idle();
    PagerCounters done = past_;
    if (on_device_) done.add(on_device_->last_header());
    if (on_host_) done.add(on_host_->residency().header());
    past_ = done;
    free_slots();
    publish(0);
}

ExpertTable Pager::table(uint32_t layer) const {
    const uint64_t records = on_device_ ? on_device_->tables().records : on_host_->records().address;
    return {records + uint64_t{layer} * shape_.n_experts * sizeof(uint64_t), shape_.n_experts,
            pool_->slots_token()};
}

uint32_t Pager::tokens_at_once() const {
    uint32_t tokens = UINT32_MAX;
    for (const PageLayer& layer : plan_.layers)
        tokens = std::min(tokens, (layer.end_slot - layer.first_slot) / shape_.n_used);
    return std::max(tokens, 1u);
}

void Pager::set_link_records(uint32_t records) {
    link_records_ = records;
    apply_link_records();
}

void Pager::apply_link_records() {
    if (on_device_) on_device_->set_link_records(link_records_);
    if (on_host_) on_host_->set_link_records(link_records_);
}

std::string Pager::describe() const {
    const uint64_t n_records = uint64_t{shape_.n_layers()} * shape_.n_experts;
    const bool measured = link_.copy_bytes_per_second > 0;
    std::string text =
        fmt::format("experts paged by the {} ({}); ",
                    mode_ == PagerMode::kDevice ? "device"
                    : copy_by_ == CopyBy::kHost ? "host, copied by its threads"
                                                : "host, copied by a queue",
                    measured ? vkmoe::describe(link_) : "the link was not measured because memory ran out");
    if (host_tier_->all_resident()) {
        text +=
            fmt::format("all {} in {} of host memory", n_records, human_bytes(host_tier_->committed_bytes()));
        if (!host_tier_->all_pinned()) text += ", some of which the device cannot read";
        return text;
    }
    return text + fmt::format("{} of {} fit in {} of host memory, the others stay in the file",
                              host_tier_->n_places(), n_records, human_bytes(host_tier_->committed_bytes()));
}

void Pager::publish(double seconds_of_use) {
    PagerCounters sum = past_;
    if (on_device_) sum.add(on_device_->last_header());
    if (on_host_) sum.add(on_host_->residency().header());
    const std::lock_guard lock(published_mutex_);
    published_.counters = sum;
    published_.seconds_in_use += seconds_of_use;
}

PagerCounters Pager::counters() const {
    const std::lock_guard lock(published_mutex_);
    return published_.counters;
}

PagerStats Pager::stats() const {
    Published seen;
    {
        const std::lock_guard lock(published_mutex_);
        seen = published_;
    }
    const PagerCounters& done = seen.counters;
    const HostTierStatistics tier = host_tier_->statistics();
    PagerStats stats{.mode = mode_,
                     .n_slots = seen.n_slots,
                     .slot_bytes = seen.slot_bytes,
                     .n_records = uint64_t{shape_.n_layers()} * shape_.n_experts,
                     .hits = done.hits,
                     .misses = done.misses,
                     .evictions = done.evictions,
                     .prefetched = done.prefetched,
                     .prefetched_used = done.prefetched_used,
                     .streamed = done.streamed,
                     .bytes_moved = done.bytes_copied,
                     .seconds = seen.seconds_in_use,
                     .link_bytes_per_second = link_.bytes_per_second(mode_),
                     .host_bytes = host_tier_->committed_bytes()};
    for (uint64_t bytes : shape_.record_bytes) stats.record_bytes += bytes * shape_.n_experts;
    const uint64_t waited_for = done.misses + done.streamed;
    const uint64_t copied = waited_for + done.prefetched;
    stats.seconds_stalled = tier.seconds_waited;
    if (copied > 0 && stats.link_bytes_per_second > 0) {
        stats.seconds_stalled += static_cast<double>(done.bytes_copied) * static_cast<double>(waited_for) /
                                 static_cast<double>(copied) / stats.link_bytes_per_second;
    }
    return stats;
}

}  // namespace vkmoe
