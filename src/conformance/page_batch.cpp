#include "kernels/page_batch.h"

#include "conformance/check.h"
#include "conformance/experts.h"
#include "conformance/op_cases.h"
#include "conformance/paged_experts.h"
#include "conformance/rows.h"

#include <algorithm>
#include <set>

namespace vkmoe::conformance {
namespace {

constexpr uint32_t kCopyGroups = 6;

/// A batch, and the ring that it has.
struct Batch {
    PagedShape shape;  ///< but for the ring
    uint32_t n_pairs = 1;
    Routing routing = Routing::kAny;
    uint32_t wave_slots = 1;
    uint32_t ring_waves = 1;   ///< 1 or 2
    bool is_borrowed = false;  ///< the ring is the last of the slots
};

struct Waves {
    std::vector<uint32_t> waves;
    std::vector<PageCopy> copies;
    std::vector<uint32_t> arguments;
};

Waves reference(PagedExperts& paged, uint32_t layer, const std::vector<uint32_t>& ids, uint32_t ring_first,
                const Batch& batch) {
    std::set<uint32_t> used;
    for (uint32_t id : ids)
        if (id < paged.n_experts) used.insert(id);
    const auto is_missing = [&](uint32_t e) { return !paged.is_resident(paged.number(layer, e)); };
    if (std::any_of(used.begin(), used.end(), is_missing))
        for (uint32_t slot = ring_first; slot < paged.n_slots(); ++slot) paged.evict(slot);

    Waves result;
    result.waves.assign(paged.n_experts, kNowhere);
    result.copies.assign(paged.n_experts, untouched_copy());
    const uint32_t n_waves = 1 + (paged.n_experts + batch.wave_slots - 1) / batch.wave_slots;
    result.arguments.assign(3, 0);
    for (uint32_t w = 1; w < n_waves; ++w)
        result.arguments.insert(result.arguments.end(), {kCopyGroups, 0, 1});
    uint32_t rank = 0;
    for (uint32_t e : used) {
        if (!is_missing(e)) {
            result.waves[e] = 0;
            add_to(paged.header.n_batch_hits, 1);
            continue;
        }
        result.waves[e] = 1 + rank / batch.wave_slots;
        ++result.arguments[3 * result.waves[e] + 1];
        const uint32_t place = ring_first + rank % (batch.wave_slots * batch.ring_waves);
        result.copies[rank++] =
            paged.place_record(paged.number(layer, e), place, paged.layers[layer].record_units);
        add_to(paged.header.n_streamed, 1);
    }
    return result;
}

void check_batch(CaseContext& c, const KernelKey& cell, const Batch& batch) {
    PagedShape shape = batch.shape;
    const uint32_t ring_slots = batch.wave_slots * batch.ring_waves;
    if (!batch.is_borrowed) shape.n_ring = ring_slots;
    PagedExperts paged = random_paged_experts(c.random(), shape);
    const StoredPagedExperts stored = upload_paged_experts(c, paged);
    const std::vector<uint32_t> ids = random_ids(c.random(), batch.n_pairs, shape.n_experts, batch.routing);
    auto waves = c.output<uint32_t>(shape.n_experts);
    auto copies = c.output<PageCopy>(shape.n_experts);
    auto arguments = c.output<uint32_t>(3 * size_t{page_wave_count(shape.n_experts, batch.wave_slots)});
    PageBatchArgs args;
    args.tables = stored.tables;
    args.ids = upload_shifted(c, ids, 4 * random_below(c.random(), 4));
    args.waves = waves.address();
    args.copies = copies.address();
    args.arguments = arguments.address();
    args.layer = random_below(c.random(), shape.n_layers);
    args.n_pairs = batch.n_pairs;
    args.copy_groups = kCopyGroups;
    args.ring_first = batch.is_borrowed ? shape.n_slots - ring_slots : shape.n_slots;
    args.ring_slots = ring_slots;
    args.wave_slots = batch.wave_slots;
    args.path = cell.path;
    c.run({page_batch(c.kernels(), args)});

    const Waves expected = reference(paged, args.layer, ids, args.ring_first, batch);
    const std::string what = fmt::format("{}, {} pairs, {}, waves of {}", shape.describe(), batch.n_pairs,
                                         routing_name(batch.routing), batch.wave_slots);
    require_equal<uint32_t>(what + ": waves", expected.waves, waves.read());
    require_equal<uint32_t>(what + ": arguments", expected.arguments, arguments.read());
    require_equal<uint32_t>(what + ": copies", words_of(expected.copies), words_of(copies.read()));
    check_paged_experts(what, paged, stored);
}

void check_batches(CaseContext& c, const KernelKey& cell, const Batch& batch) {
    for (int repeat = 0; repeat < 3; ++repeat) check_batch(c, cell, batch);
}

}  // namespace

std::vector<Case> page_batch_cases(const KernelKey& cell, Depth depth) {
    const auto batches = each_of(cell, check_batches);
    const PagedShape some_resident = {3, 64, 100};
    const PagedShape all_resident = {3, 64, 192};
    std::vector<Case> cases = {
        {"everything is resident", batches({{all_resident, 200, Routing::kAny, 8, 2}})},
        {"some experts are resident", batches({{some_resident, 200, Routing::kAny, 8, 2}})},
        {"few pairs", batches({{some_resident, 3, Routing::kAny, 8, 2}})},
        {"nothing is resident", batches({{{2, 64, 64, 0, 1, 100}, 300, Routing::kAny, 5, 1}})},
        {"all experts in one wave", batches({{some_resident, 1000, Routing::kAny, 64, 1}})},
        {"waves of one", batches({{some_resident, 50, Routing::kAny, 1, 2}})},
        {"all to one expert", batches({{some_resident, 100, Routing::kOne, 4, 2}})},
        {"ids that name no expert", batches({{some_resident, 100, Routing::kInvalid, 4, 2}})},
        {"no id names an expert", batches({{some_resident, 100, Routing::kNobody, 4, 2}})},
        {"a borrowed ring", batches({{some_resident, 200, Routing::kAny, 8, 2, true}})},
        {"a borrowed ring that is not needed", batches({{all_resident, 200, Routing::kAny, 8, 2, true}})},
        {"a borrowed ring of all slots", batches({{{2, 16, 8, 0, 1, 30}, 60, Routing::kAny, 4, 2, true}})},
        {"records of two sizes", batches({{{4, 48, 96, 0, 2, 10}, 100, Routing::kAny, 6, 2}})},
        {"512 experts", batches({{{2, 512, 500}, 3000, Routing::kInvalid, 17, 1}})},
        {"one expert", batches({{{1, 1, 1, 0, 1, 50}, 1, Routing::kAny, 1, 1}})},
    };
    if (depth == Depth::kFull) {
        cases.push_back(
            {"thousands of slots", batches({{{48, 128, 6000}, 16384, Routing::kAny, 16, 2, true}})});
        cases.push_back(
            {"a million pairs", batches({{{48, 512, 6000}, 1u << 20, Routing::kInvalid, 16, 2}})});
    }
    return cases;
}

}  // namespace vkmoe::conformance
