#include "kernels/group_routes.h"

#include "base/error.h"
#include "kernels/quantized_matrix.h"

namespace vkmoe {
namespace {

constexpr uint32_t kUntouched = 0xFFFFFFFF;

struct Tile {
    uint32_t expert;
    uint32_t first;
    uint32_t count;
    uint32_t zero;
};

class GroupRoutesTest : public KernelTest {
  protected:
    void check(const std::vector<uint32_t>& ids, uint32_t n_experts, uint32_t tile_tokens) {
        const uint32_t n_pairs = static_cast<uint32_t>(ids.size());
        SCOPED_TRACE(fmt::format("{} pairs, {} experts, tiles of {}", n_pairs, n_experts, tile_tokens));
        auto pairs_out = output<uint32_t>(n_pairs);
        auto tiles_out = output<Tile>(max_route_tiles(n_pairs, n_experts, tile_tokens));
        auto arguments_out = output<uint32_t>(6);
        GroupRoutesArgs args;
        args.ids = upload(ids).address;
        args.grouped = {pairs_out.memory(), tiles_out.memory(), arguments_out.memory()};
        args.n_pairs = n_pairs;
        args.n_experts = n_experts;
        args.tile_tokens = tile_tokens;
        args.first_y = 3;
        args.first_z = 2;
        args.second_y = 7;
        args.second_z = 1;
        run({group_routes(context(), args)});
        const std::vector<uint32_t> pairs = pairs_out.read();
        const std::vector<Tile> tiles = tiles_out.read();
        const std::vector<uint32_t> arguments = arguments_out.read();

        std::vector<uint32_t> counts(n_experts);
        for (uint32_t id : ids)
            if (id < n_experts) ++counts[id];
        uint32_t n_tiles = 0;
        for (uint32_t count : counts) n_tiles += (count + tile_tokens - 1) / tile_tokens;
        ASSERT_EQ(arguments, (std::vector<uint32_t>{n_tiles, 3, 2, n_tiles, 7, 1}));
        ASSERT_LE(n_tiles, tiles.size());

        // As few tiles as can be, and each pair of each expert in one of them: so all are as full as they can
        // be together.
        std::vector<bool> covered(n_pairs, false);
        uint32_t n_covered = 0;
        for (size_t i = 0; i < tiles.size(); ++i) {
            const Tile& tile = tiles[i];
            if (i >= n_tiles) {
                ASSERT_EQ(tile.expert & tile.first & tile.count & tile.zero, kUntouched) << "tile " << i;
                continue;
            }
            ASSERT_LT(tile.expert, n_experts) << "tile " << i;
            ASSERT_GE(tile.count, 1u) << "tile " << i;
            ASSERT_LE(tile.count, tile_tokens) << "tile " << i;
            ASSERT_LE(uint64_t{tile.first} + tile.count, n_pairs) << "tile " << i;
            ASSERT_EQ(tile.zero, 0u) << "tile " << i;
            for (uint32_t entry = tile.first; entry < tile.first + tile.count; ++entry) {
                const uint32_t pair = pairs[entry];
                ASSERT_LT(pair, n_pairs) << "tile " << i << " entry " << entry;
                ASSERT_EQ(ids[pair], tile.expert) << "tile " << i << " pair " << pair;
                ASSERT_FALSE(covered[pair]) << "pair " << pair << " twice";
                covered[pair] = true;
                ++n_covered;
            }
        }
        ASSERT_EQ(n_covered, std::accumulate(counts.begin(), counts.end(), 0u));
        for (uint32_t entry = n_covered; entry < n_pairs; ++entry) ASSERT_EQ(pairs[entry], kUntouched);
    }
};

TEST_F(GroupRoutesTest, EachPairOnceUnderItsExpert) {
    for (uint32_t n_pairs : {1u, 7u, 32u, 33u, 256u, 257u, 560u, 5000u})
        for (uint32_t n_experts : {1u, 5u, 64u, 128u, 512u})
            for (Routing routing : {Routing::kAny, Routing::kOne, Routing::kInvalid})
                check(random_ids(random(), n_pairs, n_experts, routing), n_experts,
                      n_pairs % 2 == 0 ? 32 : 8);
}

TEST_F(GroupRoutesTest, TilesOfAnySize) {
    for (uint32_t tile_tokens : {1u, 2u, 3u, 64u, 1000u})
        check(random_ids(random(), 500, 17, Routing::kInvalid), 17, tile_tokens);
}

TEST_F(GroupRoutesTest, ExpertsThatFillTheirTilesExactly) {
    std::vector<uint32_t> ids;
    for (uint32_t i = 0; i < 96; ++i) ids.push_back(i % 3 * 2);  // 32 each for experts 0, 2 and 4
    check(ids, 5, 32);
    check(ids, 5, 16);
}

TEST_F(GroupRoutesTest, NoPairNamesAnExpert) {
    check(std::vector<uint32_t>(40, 8), 8, 32);
}

TEST_F(GroupRoutesTest, RefusesWhatDoesNotFit) {
    auto pairs = output<uint32_t>(10);
    auto tiles = output<Tile>(max_route_tiles(10, 4, 4));
    auto arguments = output<uint32_t>(6);
    GroupRoutesArgs good;
    good.ids = 0x10000;
    good.grouped = {pairs.memory(), tiles.memory(), arguments.memory()};
    good.n_pairs = 10;
    good.n_experts = 4;
    good.tile_tokens = 4;
    EXPECT_NO_THROW(group_routes(context(), good));
    auto refused = [&](auto change) {
        GroupRoutesArgs args = good;
        change(args);
        EXPECT_THROW(group_routes(context(), args), Error);
    };
    refused([](GroupRoutesArgs& args) { args.n_pairs = 0; });
    refused([](GroupRoutesArgs& args) { args.n_experts = 0; });
    refused([](GroupRoutesArgs& args) { args.n_experts = 513; });
    refused([](GroupRoutesArgs& args) { args.tile_tokens = 0; });
    refused([](GroupRoutesArgs& args) { args.grouped.pairs.size -= 4; });
    refused([](GroupRoutesArgs& args) { args.grouped.tiles.size -= 16; });
    refused([](GroupRoutesArgs& args) { args.grouped.arguments.size -= 4; });
}

}  // namespace
}  // namespace vkmoe
