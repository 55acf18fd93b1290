#include "kernels/group_routes.h"

#include "conformance/check.h"
#include "conformance/generators.h"
#include "conformance/op_cases.h"
#include "conformance/rows.h"

#include <numeric>

namespace vkmoe::conformance {
namespace {

constexpr uint32_t kUntouched = 0xFFFFFFFF;
constexpr std::array<TileGrid, kTileDispatches> kGrids{{{6, false}, {7, true}, {1, true}}};

struct Tile {
    uint32_t expert;
    uint32_t first;
    uint32_t count;
    uint32_t n_tiles;  // in the first tile; 0 in the others
};

struct Grouped {
    std::vector<uint32_t> pairs;
    std::vector<Tile> tiles;
    std::vector<uint32_t> arguments;
};

std::vector<uint32_t> expected_arguments(uint32_t n_tiles, const GridSize& most) {
    std::vector<uint32_t> arguments;
    for (const auto& [groups, tiles_as_rows] : kGrids) {
        const GridSize grid =
            fold_grid(tiles_as_rows ? groups : n_tiles, tiles_as_rows ? n_tiles : groups, most);
        arguments.insert(arguments.end(), {grid.x, grid.y, grid.z});
    }
    return arguments;
}

/// As few tiles as can be, and each pair of each expert in one of them: so all are as full as they can be
/// together.
void check_tiles(std::string_view what, const std::vector<uint32_t>& ids, uint32_t n_experts,
                 uint32_t tile_tokens, const GridSize& most, const Grouped& grouped) {
    std::vector<uint32_t> counts(n_experts);
    for (uint32_t id : ids)
        if (id < n_experts) ++counts[id];
    uint32_t n_tiles = 0;
    for (uint32_t count : counts) n_tiles += (count + tile_tokens - 1) / tile_tokens;
    require_equal<uint32_t>(fmt::format("{}: arguments", what), expected_arguments(n_tiles, most),
                            grouped.arguments);

    const uint32_t n_pairs = static_cast<uint32_t>(ids.size());
    std::vector<bool> covered(n_pairs, false);
    uint32_t n_covered = 0;
    for (size_t i = 0; i < grouped.tiles.size(); ++i) {
        const auto [expert, first, count, told] = grouped.tiles[i];
        const std::string shown = fmt::format("{}: tile {} is {{expert {}, first {}, count {}, {}}}", what, i,
                                              expert, first, count, told);
        if (i >= n_tiles) {
            require((expert & first & count & told) == kUntouched, "{}, but there are {} tiles", shown,
                    n_tiles);
            continue;
        }
        require(expert < n_experts && count >= 1 && count <= tile_tokens && told == (i == 0 ? n_tiles : 0) &&
                    uint64_t{first} + count <= n_pairs,
                "{}, with {} experts, {} pairs and {} pairs a tile", shown, n_experts, n_pairs, tile_tokens);
        for (uint32_t entry = first; entry < first + count; ++entry) {
            const uint32_t pair = grouped.pairs[entry];
            require(pair < n_pairs, "{}, and its entry {} is pair {} of {}", shown, entry, pair, n_pairs);
            require(ids[pair] == expert, "{}, and its entry {} is pair {}, of expert {}", shown, entry, pair,
                    ids[pair]);
            require(!covered[pair], "{}, and its entry {} is pair {}, which came before", shown, entry, pair);
            covered[pair] = true;
            ++n_covered;
        }
    }
    const uint32_t expected = std::accumulate(counts.begin(), counts.end(), 0u);
    require(n_covered == expected, "{}: tiles have {} pairs, not {}", what, n_covered, expected);
    for (uint32_t entry = n_covered; entry < n_pairs; ++entry) {
        if (grouped.pairs[entry] == kUntouched) continue;
        fail_element(fmt::format("{}: pairs", what), entry, n_pairs, "untouched memory",
                     fmt::format("{}", grouped.pairs[entry]));
    }
}

void check_grouping(CaseContext& c, const std::vector<uint32_t>& ids, uint32_t n_experts,
                    uint32_t tile_tokens) {
    const uint32_t n_pairs = static_cast<uint32_t>(ids.size());
    auto pairs = c.output<uint32_t>(n_pairs);
    auto tiles = c.output<Tile>(max_route_tiles(n_pairs, n_experts, tile_tokens));
    auto arguments = c.output<uint32_t>(kTileDispatches * 3);
    GroupRoutesArgs args;
    args.ids = upload_shifted(c, ids, 4 * random_below(c.random(), 4));
    args.grouped = {pairs.memory(), tiles.memory(), arguments.memory()};
    args.n_pairs = n_pairs;
    args.n_experts = n_experts;
    args.tile_tokens = tile_tokens;
    args.grids = kGrids;
    c.run({group_routes(c.kernels(), args)});
    check_tiles(fmt::format("{} pairs, {} experts, tiles of {}", n_pairs, n_experts, tile_tokens), ids,
                n_experts, tile_tokens, c.kernels().most_groups(),
                {pairs.read(), tiles.read(), arguments.read()});
}

enum class Ids {
    kAny,       // of all experts; with few pairs most experts are empty
    kFew,       // of three experts only
    kOne,       // of one expert only
    kInvalid,   // half of them name no expert
    kNoExpert,  // all of them
};

std::vector<uint32_t> random_ids(std::mt19937& random, Ids kind, uint32_t n_pairs, uint32_t n_experts) {
    const std::vector<uint32_t> few = {random_below(random, n_experts), random_below(random, n_experts),
                                       random_below(random, n_experts)};
    const std::vector<uint32_t> invalid = {n_experts, n_experts + 1, 511, 512, 0x80000000, 0xFFFFFFFF};
    std::vector<uint32_t> ids(n_pairs);
    for (uint32_t& id : ids) {
        id = random_below(random, n_experts);
        if (kind == Ids::kFew) id = pick(random, few);
        if (kind == Ids::kOne) id = few[0];
        if (kind == Ids::kNoExpert || (kind == Ids::kInvalid && random_bool(random))) {
            do id = pick(random, invalid);
            while (id < n_experts);
        }
    }
    return ids;
}

void every_size(CaseContext& c, Ids kind) {
    for (const uint32_t n_pairs : {1u, 7u, 32u, 33u, 256u, 257u, 560u, 5000u})
        for (const uint32_t n_experts : {1u, 5u, 128u, 512u})
            check_grouping(c, random_ids(c.random(), kind, n_pairs, n_experts), n_experts,
                           n_pairs % 2 == 0 ? 32 : 8);
}

/// k experts for each token, all different, as a router gives them.
void top_k(CaseContext& c, uint32_t n_tokens, uint32_t k, uint32_t n_experts) {
    std::vector<uint32_t> ids;
    std::vector<uint32_t> experts(n_experts);
    std::iota(experts.begin(), experts.end(), 0u);
    for (uint32_t token = 0; token < n_tokens; ++token) {
        std::shuffle(experts.begin(), experts.end(), c.random());
        ids.insert(ids.end(), experts.begin(), experts.begin() + k);
    }
    check_grouping(c, ids, n_experts, 32);
}

void full_tiles(CaseContext& c) {
    std::vector<uint32_t> ids;
    for (uint32_t i = 0; i < 96; ++i) ids.push_back(i % 3 * 2);  // 32 each for experts 0, 2 and 4
    check_grouping(c, ids, 5, 32);
    check_grouping(c, ids, 5, 16);
}

}  // namespace

std::vector<Case> group_routes_cases(const KernelKey&, Depth depth) {
    std::vector<Case> cases = {
        {"any experts, most of them empty", [](CaseContext& c) { every_size(c, Ids::kAny); }},
        {"duplicate ids", [](CaseContext& c) { every_size(c, Ids::kFew); }},
        {"all to one expert", [](CaseContext& c) { every_size(c, Ids::kOne); }},
        {"ids that name no expert", [](CaseContext& c) { every_size(c, Ids::kInvalid); }},
        {"no id names an expert", [](CaseContext& c) { every_size(c, Ids::kNoExpert); }},
        {"32 of 512 experts", [](CaseContext& c) { top_k(c, 40, 32, 512); }},
        {"tiles of any size",
         [](CaseContext& c) {
             for (const uint32_t tile_tokens : {1u, 2u, 3u, 64u, 1000u})
                 check_grouping(c, random_ids(c.random(), Ids::kInvalid, 500, 17), 17, tile_tokens);
         }},
        {"experts that fill their tiles exactly", full_tiles},
    };
    if (depth == Depth::kQuick) return cases;
    cases.push_back({"8192 tokens, 32 of 512 experts", [](CaseContext& c) { top_k(c, 8192, 32, 512); }});
    cases.push_back({"65537 tokens, 8 of 128 experts", [](CaseContext& c) { top_k(c, 65537, 8, 128); }});
    return cases;
}

}  // namespace vkmoe::conformance
