#include "kernels/page_fetch.h"

#include "conformance/case_context.h"
#include "conformance/check.h"
#include "conformance/generators.h"
#include "conformance/op_cases.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace vkmoe::conformance {
namespace {

constexpr uint32_t kUnitBytes = 16;

using Words = std::vector<uint32_t>;

struct Fetch {
    std::vector<uint32_t> units;    // of each record
    uint32_t groups = 1;            // a record
    std::optional<uint32_t> count;  // how many of them indirect arguments ask for; without: all, directly
    PageFetchTuning tuning;
};

/// Where records of so many units lie: in random order, with gaps between them.
struct Places {
    std::vector<uint64_t> units;  // from the start
    uint64_t total = 0;
};

Places random_places(std::mt19937& random, const std::vector<uint32_t>& units) {
    std::vector<size_t> order(units.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::shuffle(order.begin(), order.end(), random);
    Places places;
    places.units.resize(units.size());
    for (size_t i : order) {
        places.units[i] = places.total + random_below(random, 6);
        places.total = places.units[i] + units[i] + 1;
    }
    return places;
}

Words random_words(std::mt19937& random, uint64_t n_units) {
    Words words(n_units * kUnitBytes / sizeof(uint32_t));
    for (uint32_t& word : words) word = static_cast<uint32_t>(random());
    return words;
}

void check_fetch(CaseContext& c, const KernelKey& cell, const Fetch& fetch) {
    const uint32_t n = static_cast<uint32_t>(fetch.units.size());
    const Places from = random_places(c.random(), fetch.units);
    const Places to = random_places(c.random(), fetch.units);
    const Words records = random_words(c.random(), from.total);
    const Allocation host = c.upload(records);
    auto slots = c.output<uint32_t>(to.total * kUnitBytes / sizeof(uint32_t));

    std::vector<PageCopy> copies;
    Words expected(slots.bytes() / sizeof(uint32_t), 0xFFFFFFFFu);
    for (uint32_t i = 0; i < n; ++i) {
        copies.push_back(page_copy(host.address + from.units[i] * kUnitBytes,
                                   slots.address() + to.units[i] * kUnitBytes, fetch.units[i]));
        if (i < fetch.count.value_or(n))
            std::copy_n(records.begin() + static_cast<std::ptrdiff_t>(from.units[i] * 4), fetch.units[i] * 4,
                        expected.begin() + static_cast<std::ptrdiff_t>(to.units[i] * 4));
    }
    PageFetchArgs args;
    args.copies = c.upload(copies).address;
    args.max_copies = n;
    args.from = view_of(host);
    args.to = view_of(slots.memory());
    if (fetch.count)
        args.indirect = c.upload(Words{fetch.groups, *fetch.count, 1});
    else
        args.groups = fetch.groups;
    args.path = cell.path;
    args.tuning = fetch.tuning;
    c.run({page_fetch(c.kernels(), args)});
    require_equal<uint32_t>(fmt::format("words of slots, {} records, {} workgroups each", n, fetch.groups),
                            expected, slots.read());
}

/// Around the tiles of the layout, and others.
std::vector<uint32_t> odd_sizes(std::mt19937& random, uint32_t tile) {
    std::vector<uint32_t> sizes = {1, 2, 3, 7};
    for (uint32_t n : {1u, 2u, 5u})
        for (uint32_t around : {n * tile - 1, n * tile, n * tile + 1})
            if (around != 0) sizes.push_back(around);
    for (int i = 0; i < 4; ++i) sizes.push_back(1 + random_below(random, 3000));
    std::shuffle(sizes.begin(), sizes.end(), random);
    return sizes;
}

void every_layout(CaseContext& c, const KernelKey& cell) {
    const uint32_t most = c.plan().max_workgroup_invocations;
    for (const PageFetchTuning& tuning :
         {PageFetchTuning{}, PageFetchTuning{1, 16}, PageFetchTuning{c.plan().workgroup_size, 3},
          PageFetchTuning{std::min(most, 256u), 4}, PageFetchTuning{std::min(most, 96u), 1}}) {
        const uint32_t tile = std::max(tuning.workgroup_size, 1u) * std::max(tuning.in_flight, 1u);
        check_fetch(c, cell,
                    {.units = odd_sizes(c.random(), tile),
                     .groups = 1 + random_below(c.random(), 9),
                     .tuning = tuning});
    }
}

/// Records beyond 4 GiB from their slots, both ways.
void far_apart(CaseContext& c, const KernelKey& cell) {
    constexpr uint32_t kUnits = 20000;
    const std::array<Allocation, 2> ends = c.reserve_distant(2 * kUnits * kUnitBytes);
    std::array<Words, 2> records;
    std::vector<PageCopy> copies;
    for (size_t i = 0; i < 2; ++i) {
        records[i] = random_words(c.random(), kUnits);
        c.fill(ends[i], std::as_bytes(std::span(records[i])));
        copies.push_back(page_copy(ends[i].address, ends[1 - i].address + kUnits * kUnitBytes, kUnits));
    }
    PageFetchArgs args;
    args.copies = c.upload(copies).address;
    args.max_copies = 2;
    args.from = {ends[0].address, ends[1].address + ends[1].size - ends[0].address};
    args.to = args.from;
    args.groups = page_copy_groups(c.kernels().device(), kUnits);
    args.path = cell.path;
    c.run({page_fetch(c.kernels(), args)});
    for (size_t i = 0; i < 2; ++i) {
        Words got(records[i].size());
        download(c.kernels().device(), ends[1 - i].slice(kUnits * kUnitBytes, kUnits * kUnitBytes),
                 std::as_writable_bytes(std::span(got)));
        require_equal<uint32_t>("words of a slot far from its record", records[i], got);
    }
}

}  // namespace

std::vector<Case> page_fetch_cases(const KernelKey& cell, Depth depth) {
    const auto fetches = each_of(cell, check_fetch);
    std::vector<Case> cases = {
        {"records of every length", [cell](CaseContext& c) { every_layout(c, cell); }},
        {"more workgroups than a record has tiles",
         fetches({{.units = {1, 40, 700}, .groups = 33}, {.units = {65}, .groups = 1000}})},
        {"a count from indirect arguments", fetches({{.units = {300, 1, 77, 1200}, .groups = 3, .count = 4},
                                                     {.units = {300, 1, 77, 1200}, .groups = 2, .count = 2},
                                                     {.units = {90}, .groups = 5, .count = 1}})},
        {"a count of zero from indirect arguments", fetches({{.units = {300, 64}, .groups = 4, .count = 0}})},
    };
    if (depth == Depth::kQuick) return cases;
    cases.push_back({"a large record", fetches({{.units = {1300001}, .groups = 32}})});
    cases.push_back({"memory beyond 4 GiB", [cell](CaseContext& c) { far_apart(c, cell); }});
    return cases;
}

}  // namespace vkmoe::conformance
