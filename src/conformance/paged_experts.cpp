#include "conformance/paged_experts.h"

#include "conformance/check.h"
#include "conformance/generators.h"
#include "kernels/page_fetch.h"
#include "pager/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

namespace vkmoe::conformance {
namespace {

uint32_t random_score(std::mt19937& random) {
    // Any word is a score.
    const std::vector<uint32_t> special = {0, 1, UINT32_MAX, UINT32_MAX - 1, 1u << 31};
    if (random_below(random, 4) == 0) return pick(random, special);
    return static_cast<uint32_t>(random()) >> random_below(random, 32);
}

uint64_t random_address(std::mt19937& random) {
    return (uint64_t{random()} << 32 | random()) & ~uint64_t{15};
}

std::vector<uint64_t> random_addresses(std::mt19937& random, size_t n) {
    std::vector<uint64_t> addresses(n);
    for (uint64_t& address : addresses) address = random_address(random);
    return addresses;
}

/// Slots of classes lie one class behind the other.
std::vector<PageLayer> layers_of(std::mt19937& random, const PagedShape& shape) {
    std::vector<PageLayer> classes;
    for (uint32_t i = 0; i < shape.n_classes; ++i) {
        classes.push_back({.first_slot = shape.n_slots * i / shape.n_classes,
                           .end_slot = shape.n_slots * (i + 1) / shape.n_classes,
                           .record_units = 1 + random_below(random, 1u << 24),
                           .padding = 0});
    }
    std::vector<PageLayer> layers;
    for (uint32_t layer = 0; layer < shape.n_layers; ++layer)
        layers.push_back(classes[layer % shape.n_classes]);
    return layers;
}

template <typename T>
Output upload_changing(CaseContext& c, const std::vector<T>& values) {
    Output output = c.output(values.size() * sizeof(T));
    output.fill(values);
    return output;
}

}  // namespace

std::string PagedShape::describe() const {
    return fmt::format("{} layers of {} experts, {} slots{}{}{}", n_layers, n_experts, n_slots,
                       n_classes == 1 ? "" : " of two sizes",
                       percent_empty == 0 ? "" : fmt::format(", {} percent empty", percent_empty),
                       equal_scores ? ", equal scores" : "");
}

void PagedExperts::put(uint32_t number, uint32_t slot, uint32_t flag) {
    experts[number].slot = slot;
    records[number] = slot_records[slot];
    slots[slot] = number | flag;
}

void PagedExperts::evict(uint32_t slot) {
    if (slots[slot] == kNowhere) return;
    experts[owner(slot)].slot = kNowhere;
    slots[slot] = kNowhere;
    add_to(header.n_evictions, 1);
}

PageCopy PagedExperts::place_record(uint32_t number, uint32_t place, uint32_t units) {
    records[number] = slot_records[place];
    add_to(header.units, units);
    return page_copy(host_records[number], slot_records[place], units, number, place);
}

PagedExperts random_paged_experts(std::mt19937& random, const PagedShape& shape) {
    PagedExperts paged;
    paged.n_experts = shape.n_experts;
    paged.layers = layers_of(random, shape);
    const uint32_t n_records = shape.n_layers * shape.n_experts;
    paged.slots.assign(shape.n_slots, kNowhere);
    paged.slot_records = random_addresses(random, size_t{shape.n_slots} + shape.n_ring);
    paged.host_records = random_addresses(random, n_records);
    paged.records = random_addresses(random, n_records);
    const uint32_t score = random_score(random);
    for (uint32_t i = 0; i < n_records; ++i)
        paged.experts.push_back({kNowhere, shape.equal_scores ? score : random_score(random)});

    std::array<PageCount, 8> counts{};
    for (PageCount& count : counts) {
        if (random_bool(random)) continue;
        count = {.low = UINT32_MAX - random_below(random, 9), .high = random_below(random, 3)};
    }
    paged.header = {.link_records = 0,
                    .prefetch_threshold = random_below(random, kScoreOne + 1) >> random_below(random, 18),
                    .reuse = random_below(random, (1u << 20) + 1) >> random_below(random, 22),
                    .padding = 0,
                    .n_hits = counts[0],
                    .n_misses = counts[1],
                    .n_evictions = counts[2],
                    .n_prefetched = counts[3],
                    .n_prefetched_used = counts[4],
                    .n_batch_hits = counts[5],
                    .n_streamed = counts[6],
                    .units = counts[7]};

    std::vector<uint32_t> order(n_records);
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), random);
    std::vector<uint32_t> next_slots;
    for (const PageLayer& layer : paged.layers) next_slots.push_back(layer.first_slot);
    for (uint32_t number : order) {
        // Layers of a class share their slots.
        const uint32_t of_class = number / shape.n_experts % shape.n_classes;
        uint32_t& slot = next_slots[of_class];
        while (slot < paged.layers[of_class].end_slot && random_below(random, 100) < shape.percent_empty)
            ++slot;
        if (slot >= paged.layers[of_class].end_slot) continue;
        paged.put(number, slot++, random_below(random, 4) == 0 ? kPrefetchedBit : 0u);
    }
    return paged;
}

StoredPagedExperts upload_paged_experts(CaseContext& c, const PagedExperts& experts) {
    StoredPagedExperts stored;
    stored.header = upload_changing(c, std::vector<PageHeader>{experts.header});
    stored.slots = upload_changing(c, experts.slots);
    stored.experts = upload_changing(c, experts.experts);
    stored.records = upload_changing(c, experts.records);
    PageTables tables{};
    tables.header = stored.header.address();
    tables.layers = c.upload(experts.layers).address;
    tables.slots = stored.slots.address();
    tables.experts = stored.experts.address();
    tables.slot_records = c.upload(experts.slot_records).address;
    tables.host_records = c.upload(experts.host_records).address;
    tables.records = stored.records.address();
    tables.n_layers = experts.n_layers();
    tables.n_experts = experts.n_experts;
    tables.n_slots = experts.n_slots();
    stored.tables = {.tables = c.upload(std::vector<PageTables>{tables}).address,
                     .header = tables.header,
                     .layers = tables.layers,
                     .slots = tables.slots,
                     .experts = tables.experts,
                     .slot_records = tables.slot_records,
                     .host_records = tables.host_records,
                     .records = tables.records,
                     .n_layers = tables.n_layers,
                     .n_experts = tables.n_experts,
                     .n_slots = tables.n_slots,
                     .n_places = static_cast<uint32_t>(experts.slot_records.size())};
    return stored;
}

void check_paged_experts(std::string_view what, const PagedExperts& expected,
                         const StoredPagedExperts& stored) {
    require_equal<uint32_t>(fmt::format("{}: header", what), words_of(std::vector{expected.header}),
                            stored.header.read<uint32_t>());
    require_equal<uint32_t>(fmt::format("{}: slots", what), expected.slots, stored.slots.read<uint32_t>());
    require_equal<uint32_t>(fmt::format("{}: experts", what), words_of(expected.experts),
                            stored.experts.read<uint32_t>());
    require_equal<uint64_t>(fmt::format("{}: records", what), expected.records,
                            stored.records.read<uint64_t>());
}

PageCopy untouched_copy() {
    PageCopy copy;
    std::memset(&copy, 0xFF, sizeof(copy));
    return copy;
}

}  // namespace vkmoe::conformance
