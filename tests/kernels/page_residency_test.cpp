// The kernels page_resolve and page_batch beside Residency, the same policy in C++, over thousands of tokens:
// what they decide must be the same after every step, entry by entry.

#include "conformance/generators.h"
#include "conformance/paged_experts.h"
#include "experts/residency.h"
#include "kernels/kernel_fixture.h"
#include "kernels/page_batch.h"
#include "kernels/page_resolve.h"
#include "long_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

namespace vkmoe {
namespace {

using conformance::CaseContext;
using conformance::PagedExperts;
using conformance::pick;
using conformance::random_below;
using conformance::StoredPagedExperts;
using conformance::words_of;

constexpr uint32_t kLayers = 4;
constexpr uint32_t kExperts = 32;
constexpr uint32_t kUsed = 4;
constexpr uint32_t kPredicted = 6;
constexpr uint32_t kBatchPairs = 40;
constexpr uint32_t kWaveSlots = 2;
constexpr uint32_t kCopyGroups = 3;
constexpr std::array<uint32_t, 3> kMissGroups{5, 4, 2};
const uint32_t kTokens = is_long_form() ? 2000 : 400;  // all kinds of routes, once or five times

/// Which slots the layers may use: all of them, or, with two sizes of records, every other layer's share.
ResidencyShape shape_of(uint32_t n_slots, uint32_t n_sizes) {
    ResidencyShape shape = one_pool(kLayers, kExperts, n_slots, 1000003);
    if (n_sizes == 1) return shape;
    const uint32_t middle = n_slots / 2;
    for (uint32_t layer = 0; layer < kLayers; ++layer)
        shape.layers[layer] =
            layer % 2 == 0 ? PageLayer{0, middle, 1000003, 0} : PageLayer{middle, n_slots, 4000000007, 0};
    return shape;
}

/// Empty slots, and places for a ring behind them.
PagedExperts empty_tables(std::mt19937& random, const ResidencyShape& shape, uint32_t n_ring) {
    const auto addresses = [&](size_t n) {
        std::vector<uint64_t> result(n);
        for (uint64_t& address : result) address = uint64_t{random()} << 20;
        return result;
    };
    const size_t n_records = size_t{shape.n_layers} * shape.n_experts;
    PagedExperts tables;
    tables.n_experts = shape.n_experts;
    tables.layers = shape.layers;
    tables.slots.assign(shape.n_slots, kNowhere);
    tables.experts.assign(n_records, {kNowhere, 0});
    tables.slot_records = addresses(shape.n_slots + n_ring);
    tables.host_records = addresses(n_records);
    tables.records = addresses(n_records);
    return tables;
}

/// Both sides, and buffers that commands recorded once read and write again and again.
class SideBySide {
  public:
    SideBySide(CaseContext& c, Path path, const ResidencyShape& shape)
        : case_(c),
          path_(path),
          residency_(shape),
          tables_(empty_tables(c.random(), shape, 2 * kWaveSlots)),
          device_(upload_paged_experts(c, tables_)),
          ids_(c.output<uint32_t>(kUsed)),
          predicted_(c.output<uint32_t>(kPredicted)),
          probabilities_(c.output<float>(kPredicted)),
          hit_ids_(c.output<uint32_t>(kUsed)),
          miss_ids_(c.output<uint32_t>(kUsed)),
          copies_(c.output<PageCopy>(kExperts)),
          arguments_(c.output<uint32_t>(3 * size_t{page_wave_count(kExperts, kWaveSlots)})),
          batch_ids_(c.output<uint32_t>(kBatchPairs)),
          waves_(c.output<uint32_t>(kExperts)) {
        c.upload_now();
        for (uint32_t layer = 0; layer < kLayers; ++layer) {
            steps_[layer] = {record(resolve(layer, 0)), record(resolve(layer, kPredicted))};
            batches_[layer] = {record(batch(layer, shape.n_slots)),
                               record(batch(layer, shape.n_slots - 2 * kWaveSlots))};
        }
    }

    void set_link_records(uint32_t n) {
        residency_.set_link_records(n);
        PageHeader header = device_.header.read<PageHeader>()[0];
        header.link_records = n;
        device_.header.fill(std::vector{header});
    }

    const PageHeader& header() const { return residency_.header(); }

    void step(uint32_t layer, const std::vector<uint32_t>& ids, const std::vector<uint32_t>& predicted,
              const std::vector<float>& probabilities) {
        ids_.fill(ids);
        predicted_.fill(predicted);
        probabilities_.fill(probabilities);
        case_.scheduler().run(*steps_[layer][predicted.empty() ? 0 : 1]);
        const ResidencyStep& expected = residency_.resolve(layer, ids, predicted, probabilities);

        ASSERT_EQ(hit_ids_.read(), expected.hit_ids);
        ASSERT_EQ(miss_ids_.read(), expected.miss_ids);
        const uint32_t n_misses = static_cast<uint32_t>(expected.misses.size());
        const std::vector<uint32_t> arguments = {kCopyGroups,
                                                 n_misses,
                                                 1,
                                                 n_misses != 0 ? kMissGroups[0] : 0,
                                                 n_misses != 0 ? kMissGroups[1] : 0,
                                                 n_misses != 0 ? kMissGroups[2] : 0,
                                                 kCopyGroups,
                                                 static_cast<uint32_t>(expected.prefetches.size()),
                                                 1};
        std::vector<uint32_t> written = arguments_.read();
        written.resize(arguments.size());
        ASSERT_EQ(written, arguments);
        ASSERT_NO_FATAL_FAILURE(compare_copies(expected.misses, 0));
        ASSERT_NO_FATAL_FAILURE(compare_copies(expected.prefetches, kUsed));
        ASSERT_NO_FATAL_FAILURE(compare_tables());
    }

    void run_batch(uint32_t layer, const std::vector<uint32_t>& ids, bool borrows) {
        const uint32_t n_slots = residency_.shape().n_slots;
        batch_ids_.fill(ids);
        case_.scheduler().run(*batches_[layer][borrows ? 1 : 0]);
        const ResidencyBatch& expected = residency_.batch(
            layer, ids, borrows ? n_slots - 2 * kWaveSlots : n_slots, 2 * kWaveSlots, kWaveSlots);

        ASSERT_EQ(waves_.read(), expected.waves);
        std::vector<uint32_t> counts(page_wave_count(kExperts, kWaveSlots));
        for (uint32_t wave : expected.waves)
            if (wave != kNowhere && wave != 0) ++counts[wave];
        const std::vector<uint32_t> arguments = arguments_.read();
        for (size_t wave = 0; wave < counts.size(); ++wave) ASSERT_EQ(arguments[3 * wave + 1], counts[wave]);
        ASSERT_NO_FATAL_FAILURE(compare_copies(expected.copies, 0));
        ASSERT_NO_FATAL_FAILURE(compare_tables());
    }

  private:
    std::unique_ptr<CommandBuffer> record(const Dispatch& dispatch) {
        Recorder recorder(case_.kernels().shared_device());
        recorder.add(dispatch);
        return recorder.finish();
    }

    Dispatch resolve(uint32_t layer, uint32_t n_predicted) {
        PageResolveArgs args;
        args.tables = device_.tables;
        args.ids = ids_.address();
        args.predicted = n_predicted != 0 ? predicted_.address() : 0;
        args.probabilities = n_predicted != 0 ? probabilities_.address() : 0;
        args.hit_ids = hit_ids_.address();
        args.miss_ids = miss_ids_.address();
        args.copies = copies_.address();
        args.arguments = arguments_.address();
        args.layer = layer;
        args.n_pairs = kUsed;
        args.n_predicted = n_predicted;
        args.copy_groups = kCopyGroups;
        args.miss_groups = kMissGroups;
        args.path = path_;
        return page_resolve(case_.kernels(), args);
    }

    Dispatch batch(uint32_t layer, uint32_t ring_first) {
        PageBatchArgs args;
        args.tables = device_.tables;
        args.ids = batch_ids_.address();
        args.waves = waves_.address();
        args.copies = copies_.address();
        args.arguments = arguments_.address();
        args.layer = layer;
        args.n_pairs = kBatchPairs;
        args.copy_groups = kCopyGroups;
        args.ring_first = ring_first;
        args.ring_slots = 2 * kWaveSlots;
        args.wave_slots = kWaveSlots;
        return page_batch(case_.kernels(), args);
    }

    void compare_copies(const std::vector<RecordCopy>& expected, size_t first) {
        const std::vector<PageCopy> copies = copies_.read();
        std::vector<PageCopy> written(copies.begin() + static_cast<std::ptrdiff_t>(first),
                                      copies.begin() + static_cast<std::ptrdiff_t>(first + expected.size()));
        std::vector<PageCopy> wanted;
        for (const RecordCopy& copy : expected) {
            wanted.push_back(tables_.place_record(copy.expert, copy.slot,
                                                  tables_.layers[copy.expert / kExperts].record_units));
        }
        ASSERT_EQ(words_of(written), words_of(wanted));
    }

    void compare_tables() {
        const std::span<const uint32_t> slots = residency_.slots();
        const std::span<const PageExpert> experts = residency_.experts();
        ASSERT_EQ(device_.slots.read<uint32_t>(), std::vector<uint32_t>(slots.begin(), slots.end()));
        ASSERT_EQ(device_.experts.read<uint32_t>(),
                  words_of(std::vector<PageExpert>(experts.begin(), experts.end())));
        ASSERT_EQ(device_.records.read<uint64_t>(), tables_.records);
        ASSERT_EQ(device_.header.read<uint32_t>(), words_of(std::vector{residency_.header()}));
    }

    CaseContext& case_;
    Path path_;
    Residency residency_;
    PagedExperts tables_;  // of which only addresses matter here
    StoredPagedExperts device_;
    TypedOutput<uint32_t> ids_;
    TypedOutput<uint32_t> predicted_;
    TypedOutput<float> probabilities_;
    TypedOutput<uint32_t> hit_ids_;
    TypedOutput<uint32_t> miss_ids_;
    TypedOutput<PageCopy> copies_;
    TypedOutput<uint32_t> arguments_;
    TypedOutput<uint32_t> batch_ids_;
    TypedOutput<uint32_t> waves_;
    std::array<std::array<std::unique_ptr<CommandBuffer>, 2>, kLayers> steps_;  // without and with look-ahead
    std::array<std::array<std::unique_ptr<CommandBuffer>, 2>, kLayers> batches_;  // ring of its own, borrowed
};

/// Experts of one token after the other.
class Routes {
  public:
    explicit Routes(std::mt19937& random) : random_(random) {
        for (std::vector<uint32_t>& ids : ids_) ids = distinct();
    }

    /// Any experts, or mostly those of the token before, of which some are favourites.
    void next_token(bool is_local) {
        for (std::vector<uint32_t>& ids : ids_) {
            if (!is_local) ids = distinct();
            for (uint32_t& id : ids) {
                if (!is_local || random_below(random_, 10) < 7) continue;
                const uint32_t other =
                    std::min(random_below(random_, kExperts), random_below(random_, kExperts));
                if (std::find(ids.begin(), ids.end(), other) == ids.end()) id = other;
            }
        }
    }
    const std::vector<uint32_t>& ids(uint32_t layer) const { return ids_[layer]; }

    /// Most of a layer's experts among others, and now and then what is none.
    std::vector<uint32_t> prediction(uint32_t layer) {
        std::vector<uint32_t> predicted;
        for (uint32_t i = 0; i < kPredicted; ++i) {
            const uint32_t chance = random_below(random_, 100);
            predicted.push_back(chance < 2    ? kNowhere
                                : chance < 60 ? ids_[layer][i % kUsed]
                                              : random_below(random_, kExperts));
        }
        return predicted;
    }
    std::vector<float> probabilities() {
        std::vector<float> values(kPredicted);
        for (float& value : values) value = std::uniform_real_distribution<float>(0, 1)(random_);
        std::sort(values.rbegin(), values.rend());
        return values;
    }

  private:
    std::vector<uint32_t> distinct() {
        std::vector<uint32_t> experts(kExperts);
        std::iota(experts.begin(), experts.end(), 0u);
        std::shuffle(experts.begin(), experts.end(), random_);
        experts.resize(kUsed);
        return experts;
    }

    std::mt19937& random_;
    std::array<std::vector<uint32_t>, kLayers> ids_;
};

class PageResidencyTest : public KernelTest {
  protected:
    void run_tokens(uint32_t n_slots, uint32_t n_sizes) {
        for (Path path : paths(Op::kPageResolve)) {
            SCOPED_TRACE(path_name(path));
            const ResidencyShape shape = shape_of(n_slots, n_sizes);
            SideBySide both(test_case(), path, shape);
            Routes routes(random());
            for (uint32_t token = 0; token < kTokens; ++token) {
                SCOPED_TRACE(fmt::format("token {}", token));
                // Both kinds of routes with and without a look-ahead, in turns.
                if (token % 50 == 0)
                    both.set_link_records(token == 0 ? 2 * kUsed : random_below(random(), 2 * kUsed + 1));
                const bool looks_ahead = token / 100 % 2 == 0;
                routes.next_token(token / 200 % 2 == 0);
                for (uint32_t layer = 0; layer < kLayers; ++layer) {
                    SCOPED_TRACE(fmt::format("layer {}", layer));
                    const uint32_t next = (layer + 1) % kLayers;
                    std::vector<uint32_t> predicted;
                    std::vector<float> probabilities;
                    if (looks_ahead) {
                        predicted = routes.prediction(next);
                        probabilities = routes.probabilities();
                    }
                    ASSERT_NO_FATAL_FAILURE(both.step(layer, routes.ids(layer), predicted, probabilities));
                }
                if (token % 100 == 77) {
                    std::vector<uint32_t> ids(kBatchPairs);
                    for (uint32_t& id : ids) id = random_below(random(), kExperts + 1);
                    ASSERT_NO_FATAL_FAILURE(
                        both.run_batch(random_below(random(), kLayers), ids, token / 100 % 4 == 0));
                }
            }
            const PageHeader& header = both.header();
            EXPECT_EQ(value_of(header.n_hits) + value_of(header.n_misses), kTokens * kLayers * kUsed);
            // With no more slots than a token needs, all are live; with few more, nearly all.
            if (is_long_form() || n_slots == kUsed || n_slots > 2 * kUsed) {
                EXPECT_EQ(value_of(header.n_prefetched_used) > 0, n_slots > kUsed);
            }
            // No number of batches must need the one expert that has no slot.
            if (n_slots < kLayers * kExperts - 1) {
                EXPECT_GT(value_of(header.n_streamed), 0u);
            }
        }
    }
};

TEST_F(PageResidencyTest, AsManySlotsAsATokenNeeds) {
    run_tokens(kUsed, 1);
}

TEST_F(PageResidencyTest, FewSlots) {
    run_tokens(13, 1);
}

TEST_F(PageResidencyTest, HalfOfTheExperts) {
    run_tokens(kLayers * kExperts / 2, 1);
}

TEST_F(PageResidencyTest, AllButOne) {
    run_tokens(kLayers * kExperts - 1, 1);
}

TEST_F(PageResidencyTest, RecordsOfTwoSizesInFewSlots) {
    run_tokens(2 * kUsed, 2);
}

TEST_F(PageResidencyTest, RecordsOfTwoSizes) {
    run_tokens(50, 2);
}

}  // namespace
}  // namespace vkmoe
