// A model whose experts do not fit computes the same bits as one whose experts do, whoever pages them.

#include "experts/pager.h"

#include "base/error.h"
#include "engine/session.h"
#include "experts/device_pager.h"
#include "experts/host_pager.h"
#include "long_form.h"
#include "model/paged_memory.h"
#include "model/tiny_models.h"
#include "unit/error_matching.h"
#include "unit/temp_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <regex>

namespace vkmoe {
namespace {

// A prompt of more than one micro-batch, which the usual size makes minutes long on a driver of a CPU.
const SessionParams kSession = is_long_form() ? SessionParams{.n_context = 700, .n_micro_batch = 512}
                                              : SessionParams{.n_context = 250, .n_micro_batch = 128};
const uint32_t kLongPrompt = kSession.n_micro_batch + 60;

struct Setting {
    PagerMode mode;
    Prefetch prefetch;
    CopyBy copy_by = CopyBy::kAuto;
};

std::string name_of(const testing::TestParamInfo<Setting>& info) {
    const Setting& setting = info.param;
    return std::string(setting.mode == PagerMode::kDevice ? "Device"
                       : setting.copy_by == CopyBy::kHost ? "HostCopiesByThreads"
                                                          : "HostCopiesByQueue") +
           (setting.prefetch == Prefetch::kOn ? "Prefetch" : "");
}

class PagerTest : public testing::TestWithParam<Setting> {
  protected:
    /// Layers of two sizes, as Q4_K_M has them; gate and up of different types in one of them.
    void SetUp() override {
        seed_ = std::random_device{}();
        RecordProperty("seed", static_cast<int>(seed_));
        path_ = folder_ / "tiny.gguf";
        write({.architecture = "qwen3moe",
               .seed = seed_,
               .n_layers = 3,
               .n_context = 1024,
               .n_experts = 12,
               .n_experts_used = 3});
        if (GetParam().copy_by == CopyBy::kHost && !Model::load(path_)->kernels().plan().unified_memory)
            GTEST_SKIP() << "the host does not see this device's memory";
    }

    void write(TinyModel model) {
        TinyFile file = make_tiny_file(model.with_type(TensorType::kQ4_K));
        file.write(path_);
    }

    std::shared_ptr<Model> load(uint64_t vram_budget = 0, uint64_t ram_budget = 0) const {
        return Model::load(path_, {.vram_budget = vram_budget,
                                   .ram_budget = ram_budget,
                                   .pager = GetParam().mode,
                                   .prefetch = GetParam().prefetch,
                                   .copy_by = GetParam().copy_by});
    }

    /// What a session and the dense weights take, and then a share of what all experts do.
    uint64_t budget_of(double share, const SessionParams& params = kSession) const {
        const auto model = load();
        return vram_budget(*model, params, share_of(all_slots(*model), share));
    }

    std::vector<int32_t> tokens_of(uint32_t n, uint32_t seed) const {
        std::mt19937 random(seed);
        std::vector<int32_t> tokens(n);
        for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 300);
        return tokens;
    }

    /// Logits of a prompt, of tokens one by one, of few at once and of some chosen on the device.
    static std::vector<float> everything(Session& session, std::span<const int32_t> prompt) {
        std::vector<float> all;
        const auto append = [&] {
            const std::span<const float> logits = session.logits();
            all.insert(all.end(), logits.begin(), logits.end());
        };
        session.feed(prompt);
        append();
        for (int32_t token = 0; token < 20; ++token) {
            session.feed(std::vector<int32_t>{token * 7 % 300});
            append();
        }
        session.feed(std::vector<int32_t>{5, 6, 7, 8, 9});
        append();
        int32_t token = 11;
        for (int i = 0; i < 20; ++i) {
            token = session.feed_greedy(token);
            all.push_back(static_cast<float>(token));
        }
        return all;
    }

    TempFolder folder_;
    std::string path_;
    uint32_t seed_ = 0;
};

TEST_P(PagerTest, AnyBudgetGivesTheSameBits) {
    std::map<uint32_t, std::vector<float>> expected;
    {
        Session resident(Model::load(path_), kSession);
        ASSERT_EQ(resident.model().pager(), nullptr);
        for (uint32_t prompt : {1u, 30u, kLongPrompt}) {
            resident.truncate(0);
            expected[prompt] = everything(resident, tokens_of(prompt, seed_));
        }
    }
    const std::vector<double> shares =
        is_long_form() ? std::vector{1.5, 0.75, 0.5, 0.25, 0.0} : std::vector{1.5, 0.5, 0.0};
    for (const double share : shares) {
        const uint64_t budget = budget_of(share);
        const auto model = load(budget);
        Session session(model, kSession);
        uint64_t streamed = 0;
        for (const auto& [prompt, bits] : expected) {
            SCOPED_TRACE(testing::Message()
                         << prompt << " tokens, " << share << " of the experts, seed " << seed_);
            session.truncate(0);
            EXPECT_TRUE(everything(session, tokens_of(prompt, seed_)) == bits);
            const PagerCounters counters = model->pager()->counters();
            EXPECT_EQ(counters.streamed > streamed, share < 1 && prompt > 8);
            streamed = counters.streamed;
        }
        EXPECT_LE(model->kernels().device().device_memory_peak(), budget);
        const PagerCounters counters = model->pager()->counters();
        EXPECT_EQ(model->pager()->plan().holds_all, share > 1);
        if (share < 1) {
            EXPECT_GT(counters.hits, 0u);
            EXPECT_GT(counters.misses + counters.prefetched, 0u);
        } else {
            EXPECT_EQ(counters.bytes_copied, 0u);
        }
    }
}

TEST_P(PagerTest, SessionsShareThePager) {
    const std::vector<int32_t> tokens = tokens_of(40, seed_);
    Session resident(Model::load(path_), kSession);
    const std::vector<float> expected = everything(resident, tokens);
    const auto model = load(budget_of(1.0));
    Session first(model, kSession);
    EXPECT_EQ(everything(first, tokens), expected);
    const uint32_t slots = model->pager()->plan().n_slots();
    // The second takes memory that slots had.
    Session second(model, {.n_context = 100, .n_micro_batch = 64});
    first.truncate(0);
    EXPECT_EQ(everything(first, tokens), expected);
    EXPECT_LT(model->pager()->plan().n_slots(), slots);
    second.feed(tokens);
    first.truncate(0);
    EXPECT_EQ(everything(first, tokens), expected);
}

TEST_P(PagerTest, TooLittleMemoryNamesTheLeast) {
    const uint64_t least = budget_of(0);
    for (uint64_t less : {uint64_t{1} << 20, least / 2}) {
        try {
            Session session(load(least - less), kSession);
            session.feed(std::vector<int32_t>{1});
            FAIL() << "ran with " << less << " bytes less than the least";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory) << error.what();
            const std::regex figure("(least|smallest) --vram-budget that works .*is \\d+ MiB");
            EXPECT_TRUE(std::regex_search(error.what(), figure)) << error.what();
        }
    }
}

TEST_P(PagerTest, ASessionThatKeepsFiguresFitsItsLeastBudget) {
    SessionParams params = kSession;
    params.router_statistics = true;
    params.look_ahead = true;
    const uint64_t budget = budget_of(0, params);
    const auto model = load(budget);
    Session session(model, params);
    session.feed(tokens_of(30, seed_));
    EXPECT_EQ(session.router_statistics().at(0).n_tokens, 30u);
    EXPECT_LE(model->kernels().device().device_memory_peak(), budget);
}

INSTANTIATE_TEST_SUITE_P(All, PagerTest,
                         testing::Values(Setting{PagerMode::kDevice, Prefetch::kOff},
                                         Setting{PagerMode::kDevice, Prefetch::kOn},
                                         Setting{PagerMode::kHost, Prefetch::kOff, CopyBy::kQueue},
                                         Setting{PagerMode::kHost, Prefetch::kOn, CopyBy::kQueue},
                                         Setting{PagerMode::kHost, Prefetch::kOff, CopyBy::kHost},
                                         Setting{PagerMode::kHost, Prefetch::kOn, CopyBy::kHost}),
                         name_of);

}  // namespace
}  // namespace vkmoe
