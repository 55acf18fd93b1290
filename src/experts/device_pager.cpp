#include "experts/device_pager.h"

#include "kernels/page_batch.h"
#include "kernels/page_fetch.h"
#include "kernels/page_resolve.h"

#include <algorithm>
#include <cstring>

namespace vkmoe {

namespace {

constexpr uint64_t kArgumentBytes = 3 * sizeof(uint32_t);

template <typename T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
    return std::as_bytes(std::span(values));
}

}  // namespace

uint64_t DevicePager::table_bytes(const PagerShape& shape, uint64_t n_places) {
    const uint64_t n_records = uint64_t{shape.n_layers()} * shape.n_experts;
    const uint64_t tables = sizeof(PageHeader) + sizeof(PageTables) + sizeof(PageLayer) * shape.n_layers() +
                            (sizeof(uint32_t) + sizeof(uint64_t)) * n_places +
                            (sizeof(PageExpert) + 2 * sizeof(uint64_t)) * n_records;
    constexpr uint64_t kTables = 8;
    return tables + kTables * (Arena::kAlignment + Arena::kTailPadding) + 4096;
}

DevicePager::DevicePager(KernelContext& kernels, const PagerShape& shape, const SlotPlan& plan,
                         const SlotPool& pool, const HostTier& host_tier)
    : kernels_(kernels),
      shape_(shape),
      plan_(plan),
      pool_(pool),
      arena_(kernels.shared_device(), MemoryKind::kDevice, "pager tables"),
      copy_arena_(kernels.shared_device(), MemoryKind::kReadback, "pager counts") {
    const uint64_t n_records = uint64_t{shape.n_layers()} * shape.n_experts;
    Allocation table, layers, slot_records, host_records;
    const auto lay_out = [&](Arena& arena) {
        table = arena.allocate(sizeof(PageTables));
        header_ = arena.allocate(sizeof(PageHeader));
        layers = arena.allocate(plan.layers.size() * sizeof(PageLayer));
        slots_ = arena.allocate(plan.n_slots() * sizeof(uint32_t));
        experts_ = arena.allocate(n_records * sizeof(PageExpert));
        slot_records = arena.allocate(plan.n_places() * sizeof(uint64_t));
        host_records = arena.allocate(n_records * sizeof(uint64_t));
        records_ = arena.allocate(n_records * sizeof(uint64_t));
    };
    Arena measured(kernels.shared_device(), MemoryKind::kDevice, "pager tables", ArenaMode::kMeasure);
    lay_out(measured);
    arena_.set_share(MemoryShare::kReserved);
    arena_.set_reclaims(false);
    arena_.expect(measured.layout());
    lay_out(arena_);
    copy_arena_.expect({{{sizeof(PageHeader) + Arena::kTailPadding, Arena::kAlignment}}});
    header_copy_ = copy_arena_.allocate(sizeof(PageHeader));
    tables_ = {.tables = table.address,
               .header = header_.address,
               .layers = layers.address,
               .slots = slots_.address,
               .experts = experts_.address,
               .slot_records = slot_records.address,
               .host_records = host_records.address,
               .records = records_.address,
               .n_layers = shape.n_layers(),
               .n_experts = shape.n_experts,
               .n_slots = plan.n_slots(),
               .n_places = plan.n_places()};
    const PageTables contents{.header = tables_.header,
                              .layers = tables_.layers,
                              .slots = tables_.slots,
                              .experts = tables_.experts,
                              .slot_records = tables_.slot_records,
                              .host_records = tables_.host_records,
                              .records = tables_.records,
                              .n_layers = tables_.n_layers,
                              .n_experts = tables_.n_experts,
                              .n_slots = tables_.n_slots,
                              .padding = 0};
    std::vector<uint64_t> places;
    for (const Allocation& place : pool.places()) places.push_back(place.address);
    std::vector<uint64_t> sources;
    uint64_t sources_begin = UINT64_MAX;
    uint64_t sources_end = 0;
    for (uint32_t layer = 0; layer < shape.n_layers(); ++layer) {
        for (uint32_t expert = 0; expert < shape.n_experts; ++expert) {
            const uint64_t address = host_tier.device_address(layer, expert);
            sources.push_back(address);
            sources_begin = std::min(sources_begin, address);
            sources_end = std::max(sources_end, address + uint64_t{plan.layers[layer].record_units} * 16);
        }
    }
    host_records_memory_ = {sources_begin, sources_end - sources_begin};
    Uploader uploader(kernels.shared_device());
    uploader.copy(table, std::as_bytes(std::span(&contents, 1)));
    uploader.copy(layers, bytes_of(plan.layers));
    uploader.copy(slot_records, bytes_of(places));
    uploader.copy(host_records, bytes_of(sources));
    uploader.flush();
}

void DevicePager::fill(const std::vector<uint32_t>& experts) {
    std::vector<PageExpert> states(uint64_t{shape_.n_layers()} * shape_.n_experts,
                                   {.slot = kNowhere, .score = 0});
    std::vector<uint64_t> records(states.size());
    for (uint32_t slot = 0; slot < experts.size(); ++slot) {
        if (experts[slot] == kNowhere) continue;
        states[experts[slot]].slot = slot;
        records[experts[slot]] = pool_.places()[slot].address;
    }
    const PageHeader header{.link_records = link_records_};
    std::memcpy(header_copy_.mapped, &header, sizeof(header));
    Uploader uploader(kernels_.shared_device());
    uploader.copy(header_, std::as_bytes(std::span(&header, 1)));
    uploader.copy(slots_, bytes_of(experts));
    uploader.copy(experts_, bytes_of(states));
    uploader.copy(records_, bytes_of(records));
    uploader.flush();
}

void DevicePager::set_link_records(uint32_t records) {
    link_records_ = records;
    Uploader uploader(kernels_.shared_device());
    uploader.copy(header_.slice(0, sizeof(uint32_t)), std::as_bytes(std::span(&link_records_, 1)));
    uploader.flush();
}

PageHeader DevicePager::read_header() const {
    PageHeader header{};
    download(kernels_.device(), header_, std::as_writable_bytes(std::span(&header, 1)));
    return header;
}

PageHeader DevicePager::last_header() const {
    PageHeader header{};
    std::memcpy(&header, header_copy_.mapped, sizeof(header));
    return header;
}

std::vector<uint32_t> DevicePager::read_slots() const {
    std::vector<uint32_t> slots(plan_.n_slots());
    download(kernels_.device(), slots_, std::as_writable_bytes(std::span(slots)));
    return slots;
}

std::vector<PageExpert> DevicePager::read_experts() const {
    std::vector<PageExpert> experts(uint64_t{shape_.n_layers()} * shape_.n_experts);
    download(kernels_.device(), experts_, std::as_writable_bytes(std::span(experts)));
    return experts;
}

uint32_t DevicePager::copy_groups(uint32_t layer) const {
    return page_copy_groups(kernels_.device(), plan_.layers[layer].record_units);
}

DevicePager::Resolve DevicePager::resolve(const PageScratch& scratch, const Wishes& wishes) const {
    const bool looks_ahead = wishes.predicted != 0 && wishes.layer + 1 < shape_.n_layers();
    const uint32_t n_predicted = looks_ahead ? wishes.n_predicted : 0;
    Resolve result;
    result.decide = page_resolve(kernels_, {.tables = tables_,
                                            .ids = wishes.ids,
                                            .predicted = looks_ahead ? wishes.predicted : 0,
                                            .probabilities = looks_ahead ? wishes.probabilities : 0,
                                            .hit_ids = scratch.hit_ids.address,
                                            .miss_ids = scratch.miss_ids.address,
                                            .copies = scratch.copies.address,
                                            .arguments = scratch.arguments.address,
                                            .layer = wishes.layer,
                                            .n_pairs = wishes.n_pairs,
                                            .n_predicted = n_predicted,
                                            .copy_groups = copy_groups(wishes.layer),
                                            .miss_groups = wishes.miss_groups});
    PageFetchArgs fetch{.copies = scratch.copies.address,
                        .max_copies = wishes.n_pairs,
                        .from = host_records_memory_,
                        .to = pool_.slots_token(),
                        .indirect = scratch.arguments.slice(0, kArgumentBytes)};
    result.fetch = page_fetch(kernels_, fetch);
    result.fetch.label = "pager fetch";
    result.miss_arguments = scratch.arguments.slice(kArgumentBytes, kArgumentBytes);
    if (looks_ahead) {
        fetch.copies += wishes.n_pairs * sizeof(PageCopy);
        fetch.max_copies = n_predicted;
        // Into slots that nobody reads before the next layer, which waits for what came before it anyway.
        fetch.to = {};
        fetch.indirect = scratch.arguments.slice(2 * kArgumentBytes, kArgumentBytes);
        result.prefetch = page_fetch(kernels_, fetch);
        result.prefetch.label = "pager prefetch";
    }
    return result;
}

Dispatch DevicePager::batch(const PageScratch& scratch, uint32_t layer, uint64_t ids,
                            uint32_t n_pairs) const {
    return page_batch(kernels_, {.tables = tables_,
                                 .ids = ids,
                                 .waves = scratch.waves.address,
                                 .copies = scratch.copies.address,
                                 .arguments = scratch.arguments.address,
                                 .layer = layer,
                                 .n_pairs = n_pairs,
                                 .copy_groups = copy_groups(layer),
                                 .ring_first = plan_.ring_first,
                                 .ring_slots = plan_.ring_slots,
                                 .wave_slots = plan_.wave_slots});
}

Dispatch DevicePager::fetch_wave(const PageScratch& scratch, uint32_t wave) const {
    const uint64_t first = uint64_t{wave - 1} * plan_.wave_slots;
    Dispatch dispatch = page_fetch(
        kernels_,
        {.copies = scratch.copies.address + first * sizeof(PageCopy),
         .max_copies = static_cast<uint32_t>(std::min<uint64_t>(plan_.wave_slots, shape_.n_experts - first)),
         .from = host_records_memory_,
         .to = pool_.ring_token(plan_.ring_slots > plan_.wave_slots ? wave % 2 : 0),
         .indirect = scratch.arguments.slice(wave * kArgumentBytes, kArgumentBytes)});
    dispatch.label = "pager stream";
    return dispatch;
}

}  // namespace vkmoe
