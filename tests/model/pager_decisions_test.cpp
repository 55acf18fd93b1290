// What the pager decides while the bundled model reads a text: the device what the policy in C++ would, after
// every token, entry by entry; and prefill leaves to decode what it finds there.

#include "engine/session.h"
#include "experts/device_pager.h"
#include "experts/host_pager.h"
#include "experts/residency.h"
#include "long_form.h"
#include "model/paged_memory.h"
#include "text/tokenizer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <vector>

namespace vkmoe {
namespace {

const std::string kModels = VKMOE_SOURCE_DIR "/samples/models/";
const std::string kModel = kModels + "babel-moe-14m-f16.gguf";

struct Setting {
    PagerMode mode = PagerMode::kDevice;
    Prefetch prefetch = Prefetch::kOff;
    uint32_t n_slots = 0;
};

std::string name_of(const testing::TestParamInfo<Setting>& info) {
    return fmt::format("{}{}Slots{}", info.param.mode == PagerMode::kDevice ? "Device" : "Host",
                       info.param.n_slots, info.param.prefetch == Prefetch::kOn ? "Prefetch" : "");
}

/// The words of a struct of them, which gtest compares and prints.
template <typename T>
std::vector<uint32_t> words_of(std::span<const T> values) {
    const auto* first = reinterpret_cast<const uint32_t*>(values.data());
    return {first, first + values.size_bytes() / sizeof(uint32_t)};
}

/// What decides who stays, and what counts what was decided.
struct Decisions {
    std::vector<uint32_t> header;
    std::vector<uint32_t> slots;
    std::vector<uint32_t> experts;

    bool operator==(const Decisions&) const = default;
};

Decisions decisions_of(const PageHeader& header, std::span<const uint32_t> slots,
                       std::span<const PageExpert> experts) {
    return {words_of(std::span(&header, 1)), {slots.begin(), slots.end()}, words_of(experts)};
}

class PagerDecisionsTest : public testing::TestWithParam<Setting> {
  protected:
    /// Loads the model with a budget that leaves, beside such a session, room for just the setting's slots.
    void load(const SessionParams& params) {
        const Setting& setting = GetParam();
        ModelParams model_params{.pager = setting.mode, .prefetch = setting.prefetch};
        uint64_t budget = 0;
        {
            const auto model = Model::load(kModel, model_params);
            const Device& device = model->kernels().device();
            const PagerShape& shape = model->pager()->shape();
            uint64_t free = model->pager()->least_bytes();
            while (Pager::plan_for(device, setting.mode, shape, free).n_slots() < setting.n_slots)
                free += shape.record_bytes.front() / 2;
            budget = vram_budget(*model, params, free);
        }
        model_params.vram_budget = budget;
        model_ = Model::load(kModel, model_params);
        session_ = std::make_unique<Session>(model_, params);
        const Pager::Use use(model_->pager());
        ASSERT_EQ(model_->pager()->plan().n_slots(), setting.n_slots);
        ASSERT_EQ(model_->pager()->plan().ring_first, setting.n_slots) << "the ring is not its own";
    }

    const Pager& pager() const { return *model_->pager(); }
    Session& session() const { return *session_; }

    std::vector<int32_t> tokens_of(const std::string& text, size_t n) const {
        std::ifstream file(kModels + "held-out/" + text);
        const std::string content(std::istreambuf_iterator<char>(file), {});
        std::vector<int32_t> tokens = make_tokenizer(model_->file())->encode(content, true, false);
        EXPECT_GE(tokens.size(), n);
        tokens.resize(n);
        return tokens;
    }

    void decode(std::span<const int32_t> tokens) const {
        for (const int32_t token : tokens) session().feed(std::span(&token, 1));
    }

    /// As they are now.
    Decisions decisions() const {
        if (const HostPager* host = pager().on_host()) {
            const Residency& residency = host->residency();
            return decisions_of(residency.header(), residency.slots(), residency.experts());
        }
        const DevicePager& device = *pager().on_device();
        return decisions_of(device.read_header(), device.read_slots(), device.read_experts());
    }

  private:
    std::shared_ptr<Model> model_;
    std::unique_ptr<Session> session_;
};

using DeviceDecisionsTest = PagerDecisionsTest;

/// One layer's part of rows [n_tokens, n_layers, width].
template <typename T>
std::vector<T> layer_of(const std::vector<T>& rows, uint32_t n_layers, uint32_t layer, uint32_t width) {
    std::vector<T> part;
    for (size_t at = size_t{layer} * width; at < rows.size(); at += size_t{n_layers} * width)
        part.insert(part.end(), rows.begin() + static_cast<std::ptrdiff_t>(at),
                    rows.begin() + static_cast<std::ptrdiff_t>(at + width));
    return part;
}

TEST_P(DeviceDecisionsTest, AreThoseOfThePolicy) {
    constexpr uint32_t kContext = 256;
    const uint32_t kTokens = (is_long_form() ? 9 : 2) * kContext;
    constexpr uint32_t kPrompt = 24;  // of each context: a batch, which only passes through
    const bool looks_ahead = GetParam().prefetch == Prefetch::kOn;
    ASSERT_NO_FATAL_FAILURE(load({.n_context = kContext, .n_micro_batch = kPrompt}));
    const SlotPlan& plan = pager().plan();
    const uint32_t n_experts = pager().shape().n_experts;
    Residency policy({pager().shape().n_layers(), n_experts, plan.n_slots(), plan.layers});
    policy.set_link_records(pager().link_records());
    EXPECT_EQ(pager().link_records(), looks_ahead ? pager().shape().n_used : 0);
    const std::vector<uint32_t> first = pager().on_device()->read_slots();
    for (uint32_t slot = 0; slot < first.size(); ++slot)
        if (first[slot] != kNowhere) policy.place(first[slot], slot);

    const std::vector<int32_t> tokens = tokens_of("english.txt", kTokens);
    for (size_t done = 0; done < tokens.size();) {
        if (done % kContext == 0) session().truncate(0);
        const size_t n = done % kContext == 0 ? kPrompt : 1;
        session().feed(std::span(tokens).subspan(done, n));
        done += n;
        const Routes routes = session().routes();
        ASSERT_EQ(routes.n_predicted > 0, looks_ahead);
        for (uint32_t layer = 0; layer < routes.n_layers; ++layer) {
            const std::vector<uint32_t> ids = layer_of(routes.ids, routes.n_layers, layer, routes.n_used);
            if (n > 1) {
                policy.batch(layer, ids, plan.ring_first, plan.ring_slots, plan.wave_slots);
            } else if (looks_ahead && layer + 1 < routes.n_layers) {
                const uint32_t width = routes.n_predicted;
                policy.resolve(layer, ids, layer_of(routes.predicted, routes.n_layers - 1, layer, width),
                               layer_of(routes.probabilities, routes.n_layers - 1, layer, width));
            } else {
                policy.resolve(layer, ids);
            }
        }
        const Decisions wanted = decisions_of(policy.header(), policy.slots(), policy.experts());
        const Decisions found = decisions();
        ASSERT_EQ(found.header, wanted.header) << "after " << done << " tokens";
        ASSERT_EQ(found.slots, wanted.slots) << "after " << done << " tokens";
        ASSERT_EQ(found.experts, wanted.experts) << "after " << done << " tokens";
    }
    EXPECT_GT(value_of(policy.header().n_evictions), kTokens / 2);
    EXPECT_GT(value_of(policy.header().n_streamed), 0u);
    EXPECT_EQ(value_of(policy.header().n_prefetched_used) > 0, looks_ahead);
}

INSTANTIATE_TEST_SUITE_P(All, DeviceDecisionsTest,
                         testing::Values(Setting{PagerMode::kDevice, Prefetch::kOff, 16},
                                         Setting{PagerMode::kDevice, Prefetch::kOff, 32},
                                         Setting{PagerMode::kDevice, Prefetch::kOn, 16},
                                         Setting{PagerMode::kDevice, Prefetch::kOn, 32}),
                         name_of);

using PrefillTest = PagerDecisionsTest;

TEST_P(PrefillTest, LeavesTheDecodeSetAlone) {
    constexpr uint32_t kPrompt = 20;
    constexpr uint32_t kDecoded = 150;
    constexpr uint32_t kPrefill = 600;
    const SessionParams params{.n_context = 800, .n_micro_batch = 512};

    // What a decode hits that is begun again, with and without another prefill before.
    PagerCounters counters[2];
    Decisions after[2];
    for (const bool prefills : {false, true}) {
        ASSERT_NO_FATAL_FAILURE(load(params));
        const std::vector<int32_t> text = tokens_of("english.txt", kPrompt + kDecoded);
        session().feed(std::span(text).first(kPrompt));
        decode(std::span(text).subspan(kPrompt));
        if (prefills) {
            const Decisions before = decisions();
            const PagerCounters decoded = pager().counters();
            session().feed(tokens_of("python.txt", kPrefill));
            const PagerCounters prefilled = pager().counters();
            EXPECT_GT(prefilled.streamed, decoded.streamed);
            EXPECT_GT(prefilled.batch_hits, decoded.batch_hits);
            EXPECT_GT(prefilled.bytes_copied, decoded.bytes_copied);
            EXPECT_EQ(prefilled.evictions, decoded.evictions);
            EXPECT_EQ(decisions().slots, before.slots);
            EXPECT_EQ(decisions().experts, before.experts);
        }
        const PagerCounters before = pager().counters();
        session().truncate(kPrompt);
        decode(std::span(text).subspan(kPrompt));
        PagerCounters& gained = counters[prefills ? 1 : 0];
        gained = pager().counters();
        gained.hits -= before.hits;
        gained.misses -= before.misses;
        gained.evictions -= before.evictions;
        gained.prefetched -= before.prefetched;
        gained.prefetched_used -= before.prefetched_used;
        gained.bytes_copied -= before.bytes_copied;
        after[prefills ? 1 : 0] = decisions();
    }
    EXPECT_GT(counters[0].hits, 0u);
    EXPECT_GT(counters[0].misses, 0u);
    EXPECT_EQ(counters[1].hits, counters[0].hits);
    EXPECT_EQ(counters[1].misses, counters[0].misses);
    EXPECT_EQ(counters[1].evictions, counters[0].evictions);
    EXPECT_EQ(counters[1].prefetched, counters[0].prefetched);
    EXPECT_EQ(counters[1].prefetched_used, counters[0].prefetched_used);
    EXPECT_EQ(counters[1].bytes_copied, counters[0].bytes_copied);
    EXPECT_EQ(after[1].slots, after[0].slots);
    EXPECT_EQ(after[1].experts, after[0].experts);
}

INSTANTIATE_TEST_SUITE_P(All, PrefillTest,
                         testing::Values(Setting{PagerMode::kDevice, Prefetch::kOff, 16},
                                         Setting{PagerMode::kDevice, Prefetch::kOn, 32},
                                         Setting{PagerMode::kHost, Prefetch::kOff, 32},
                                         Setting{PagerMode::kHost, Prefetch::kOn, 16}),
                         name_of);

}  // namespace
}  // namespace vkmoe
