// Two threads with a session each of one paged model, whose budget has room for both and hardly any slots,
// while others read what the pager counts and take the slots' memory: every token is the one that a lone
// session computes.

#include "base/error.h"
#include "engine/session.h"
#include "experts/pager.h"
#include "gpu/arena.h"
#include "long_form.h"
#include "model/paged_memory.h"
#include "model/tiny_models.h"
#include "unit/temp_folder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <random>
#include <thread>

namespace vkmoe {
namespace {

using Clock = std::chrono::steady_clock;

constexpr SessionParams kSession{.n_context = 96, .n_micro_batch = 32};
constexpr uint32_t kVocabulary = 300;
constexpr uint32_t kPromptLengths[] = {1, 6, 40};
constexpr int kDecoded = 10;

std::vector<int32_t> prompt_of(uint32_t length) {
    std::mt19937 random(length);
    std::vector<int32_t> tokens(length);
    for (int32_t& token : tokens) token = static_cast<int32_t>(random() % kVocabulary);
    return tokens;
}

/// The likeliest tokens after a prompt.
std::vector<int32_t> continuation(Session& session, uint32_t length) {
    session.truncate(0);
    session.feed(prompt_of(length));
    const std::span<const float> logits = session.logits();
    std::vector<int32_t> tokens{static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin())};
    for (int i = 0; i < kDecoded; ++i) tokens.push_back(session.feed_greedy(tokens.back()));
    return tokens;
}

struct Setting {
    const char* name;
    PagerMode mode;
    bool from_disk;
};

class PagerThreads : public testing::TestWithParam<Setting> {
  protected:
    void SetUp() override {
        TinyModel model{.architecture = "qwen3moe",
                        .seed = 11,
                        .n_layers = 3,
                        .n_vocabulary = kVocabulary,
                        .n_experts = 12,
                        .n_experts_used = 3};
        make_tiny_file(model.with_type(TensorType::kQ4_K)).write(path_);
        Session lone(Model::load(path_), kSession);
        ASSERT_EQ(lone.model().pager(), nullptr);
        for (const uint32_t length : kPromptLengths) expected_.push_back(continuation(lone, length));
    }

    /// With room for two sessions, the fewest slots, and for more slots, of which the third thread takes
    /// memory.
    std::shared_ptr<Model> load() {
        ModelParams params{.pager = GetParam().mode};
        {
            const auto model = Model::load(path_, params);
            const uint64_t session = measure_session(*model, session_shape(*model, kSession)).bytes();
            spare_ = model->pager()->least_bytes();
            params.vram_budget = vram_budget(*model, kSession, session + 2 * spare_);
            if (GetParam().from_disk)
                params.ram_budget = ram_budget(model->needs().question, params.vram_budget,
                                               all_slots(*model) / 3 + (1u << 20));
        }
        auto model = Model::load(path_, params);
        EXPECT_EQ(model->pager()->host_tier().all_resident(), !GetParam().from_disk);
        return model;
    }

    TempFolder folder_;
    const std::string path_ = folder_ / "tiny.gguf";
    std::vector<std::vector<int32_t>> expected_;
    uint64_t spare_ = 0;  // bytes
};

TEST_P(PagerThreads, TwoSessionsComputeWhatALoneOneDoes) {
    const auto model = load();
    const auto end =
        Clock::now() + std::chrono::duration<double>(test_seconds("VKMOE_THREADS_SECONDS", 6) / 3);
    std::atomic<bool> stops = false;
    std::atomic<int> n_sessions = 0;
    std::atomic<int> n_texts = 0;
    const auto compute = [&](uint32_t seed) {
        std::mt19937 random(seed);
        try {
            while (Clock::now() < end && !stops) {
                std::optional<Session> made;
                try {
                    made.emplace(model, kSession);
                } catch (const Error& error) {
                    // The third thread has the memory. A session that exists must not fail by it.
                    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory) << error.what();
                    continue;
                }
                Session& session = *made;
                ++n_sessions;
                for (uint32_t n = 1 + random() % 4; n > 0 && !stops; --n) {
                    const size_t text = random() % expected_.size();
                    const uint64_t before = session.pager_stats().hits;
                    const std::vector<int32_t> tokens = continuation(session, kPromptLengths[text]);
                    EXPECT_GE(session.pager_stats().hits, before);
                    EXPECT_EQ(tokens, expected_[text]) << "prompt of " << kPromptLengths[text];
                    ++n_texts;
                    if (tokens != expected_[text]) stops = true;
                }
            }
        } catch (const std::exception& error) {
            ADD_FAILURE() << error.what();
        }
        stops = true;
    };
    uint64_t n_reads = 0;
    PagerStats last;
    std::thread reading([&] {
        while (!stops) {
            const PagerStats stats = model->pager()->stats();
            // Counts only rise, and slots are those of one plan.
            EXPECT_GE(stats.hits, last.hits);
            EXPECT_GE(stats.misses, last.misses);
            EXPECT_GE(stats.bytes_moved, last.bytes_moved);
            EXPECT_GE(stats.seconds, last.seconds);
            EXPECT_EQ(stats.n_slots == 0, stats.slot_bytes == 0);
            last = stats;
            ++n_reads;
            std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
    });
    // Takes the slots' memory again and again, as sessions that come and go do, and gives it back at once.
    std::thread taking([&] {
        while (!stops) {
            try {
                const auto device = model->kernels().shared_device();
                Arena arena(device, MemoryKind::kDevice, "memory of slots");
                arena.allocate(spare_);
            } catch (const Error& error) {
                EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory) << error.what();
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
    });
    std::thread other(compute, 1);
    compute(2);
    other.join();
    reading.join();
    taking.join();
    EXPECT_GT(n_texts, 0);
    EXPECT_GT(n_reads, 10u);
    EXPECT_GT(last.misses + last.streamed, 0u);
    fmt::print("{}: {} texts by {} sessions, {} reads, {} slots taken\n", GetParam().name, n_texts.load(),
               n_sessions.load(), n_reads, model->pager()->generation());
}

TEST_P(PagerThreads, StatsDoNotWaitForAPrompt) {
    const auto model = load();
    Session session(model, kSession);
    session.feed(prompt_of(1));
    const PagerStats before = model->pager()->stats();
    EXPECT_GT(before.hits + before.misses, 0u);
    const Pager::Use use(model->pager());  // as while a prompt is computed
    PagerStats during;
    std::thread([&] { during = model->pager()->stats(); }).join();
    EXPECT_EQ(during.hits, before.hits);
    EXPECT_EQ(during.n_slots, before.n_slots);
}

INSTANTIATE_TEST_SUITE_P(All, PagerThreads,
                         testing::Values(Setting{"Device", PagerMode::kDevice, false},
                                         Setting{"Host", PagerMode::kHost, false},
                                         Setting{"Disk", PagerMode::kHost, true}),
                         [](const testing::TestParamInfo<Setting>& setting) { return setting.param.name; });

}  // namespace
}  // namespace vkmoe
