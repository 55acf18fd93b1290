// Budgets of whole models: who is paged for which session, and what is taken then.

#include "base/error.h"
#include "long_form.h"
#include "model/paged_memory.h"
#include "model/tiny_models.h"
#include "unit/error_matching.h"
#include "unit/temp_folder.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <regex>
#include <thread>

namespace vkmoe {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr SessionParams kShort{.n_context = 64, .n_micro_batch = 16};
constexpr SessionParams kLong{.n_context = 8192, .n_micro_batch = 16};

SessionShape planned(const SessionParams& params) {
    return {.n_context = params.n_context, .micro_batch = params.n_micro_batch, .kv_type = params.kv_type};
}

class MemoryBudgetTest : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        folder_ = std::make_unique<TempFolder>();
        path_ = *folder_ / "tiny.gguf";
        make_tiny_file(TinyModel{.architecture = "qwen3moe",
                                 .seed = 77,
                                 .n_layers = 4,
                                 .n_context = 8192,
                                 .n_experts = 32,
                                 .n_experts_used = 3}
                           .with_type(TensorType::kQ4_K))
            .write(path_);
    }
    static void TearDownTestSuite() { folder_.reset(); }

    static MemoryQuestion question(const SessionParams& session) {
        return Model::load(path_, {.session = planned(session), .measure_only = true})->needs().question;
    }

    /// Of a text.
    static std::vector<float> logits(Session& session) {
        std::vector<int32_t> tokens(40);
        for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 37 % 300);
        session.feed(tokens);
        for (int32_t token = 0; token < 5; ++token) session.feed(std::vector<int32_t>{token});
        return {session.logits().begin(), session.logits().end()};
    }

    static std::vector<float> expected(const SessionParams& params) {
        Session session(Model::load(path_), params);
        EXPECT_EQ(session.model().pager(), nullptr);
        return logits(session);
    }

    static std::unique_ptr<TempFolder> folder_;
    static std::string path_;
};

std::unique_ptr<TempFolder> MemoryBudgetTest::folder_;
std::string MemoryBudgetTest::path_;

TEST_F(MemoryBudgetTest, ALongContextIsPagedFor) {
    const MemoryQuestion short_one = question(kShort);
    const MemoryQuestion long_one = question(kLong);
    const uint64_t budget = short_one.whole_vram;
    ASSERT_LT(long_one.least_vram, budget);
    ASSERT_LT(budget, long_one.whole_vram);

    const auto resident = Model::load(path_, {.vram_budget = budget, .session = planned(kShort)});
    EXPECT_EQ(resident->pager(), nullptr);
    { const Session fits(resident, kShort); }
    expect_error(ErrorCode::kOutOfMemory, {"context of 8192", "load the model for a session of this size"},
                 [&] { const Session session(resident, kLong); });

    const auto paged = Model::load(path_, {.vram_budget = budget, .session = planned(kLong)});
    ASSERT_NE(paged->pager(), nullptr);
    Session session(paged, kLong);
    EXPECT_TRUE(logits(session) == expected(kLong));
    EXPECT_LE(paged->kernels().device().device_memory_peak(), budget);
}

TEST_F(MemoryBudgetTest, ASessionThatCannotFitFailsTheLoad) {
    const uint64_t least = question(kLong).least_vram;
    Model::load(path_, {.vram_budget = least, .session = planned(kLong)});
    expect_error(ErrorCode::kOutOfMemory, {"smallest --vram-budget", "context of 8192"},
                 [&] { Model::load(path_, {.vram_budget = least - kMiB, .session = planned(kLong)}); });
}

/// Makes and frees sessions in several threads at once, of which all fit together; each is used.
void make_sessions_in_threads(const std::shared_ptr<Model>& model, const SessionParams& params, int n_threads,
                              int n_rounds) {
    const uint64_t budget = model->kernels().device().memory_budget();
    std::atomic<int> n_refused = 0;
    std::mutex message_mutex;
    std::string message;
    std::vector<std::thread> threads;
    for (int i = 0; i < n_threads; ++i) {
        threads.emplace_back([&] {
            for (int round = 0; round < n_rounds; ++round) {
                try {
                    Session session(model, params);
                    if (round % 4 == 0) session.feed(std::vector<int32_t>{1, 2, 3});
                } catch (const Error& error) {
                    const std::lock_guard lock(message_mutex);
                    ++n_refused;
                    message = error.what();
                }
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(n_refused, 0) << message;
    EXPECT_EQ(model->kernels().device().memory_budget(), budget) << "the driver refused nothing";
    EXPECT_LE(model->kernels().device().device_memory_peak(), budget);
}

TEST_F(MemoryBudgetTest, SessionsOfThreadsThatFitAreAllMade) {
    constexpr int kThreads = 4;
    const int n_rounds = is_long_form() ? 2000 : 60;
    const std::vector<float> bits = expected(kShort);
    for (const PagerMode mode : {PagerMode::kAuto, PagerMode::kDevice, PagerMode::kHost}) {
        SCOPED_TRACE(testing::Message() << "mode " << static_cast<int>(mode));
        uint64_t budget = 0;
        {
            const auto model = Model::load(path_, {.session = planned(kShort), .pager = mode});
            const uint64_t session = measure_session(*model, session_shape(*model, kShort)).bytes();
            budget = mode == PagerMode::kAuto
                         ? model->kernels().device().device_memory_taken() + kThreads * session
                         : vram_budget(*model, kShort, 0) + (kThreads - 1) * session;
        }
        const auto model =
            Model::load(path_, {.vram_budget = budget, .session = planned(kShort), .pager = mode});
        ASSERT_EQ(model->pager() == nullptr, mode == PagerMode::kAuto);
        make_sessions_in_threads(model, kShort, kThreads, n_rounds);
        Session session(model, kShort);
        EXPECT_TRUE(logits(session) == bits);
    }
}

TEST_F(MemoryBudgetTest, ASessionThatLeavesThePagerTooLittleIsRefused) {
    const std::vector<float> bits = expected(kShort);
    for (const PagerMode mode : {PagerMode::kDevice, PagerMode::kHost}) {
        uint64_t least_for_two = 0;
        {
            const auto model = Model::load(path_, {.session = planned(kShort), .pager = mode});
            least_for_two = vram_budget(*model, kShort, 0) +
                            measure_session(*model, session_shape(*model, kShort)).bytes();
        }
        for (const bool is_enough : {false, true}) {
            SCOPED_TRACE(testing::Message() << "mode " << static_cast<int>(mode) << ", enough " << is_enough);
            const uint64_t budget = least_for_two - (is_enough ? 0 : 4096);
            const auto model =
                Model::load(path_, {.vram_budget = budget, .session = planned(kShort), .pager = mode});
            Session first(model, kShort);
            first.feed(std::vector<int32_t>{1});
            const uint64_t generation = model->pager()->generation();
            if (is_enough) {
                Session second(model, kShort);
                EXPECT_TRUE(logits(second) == bits);
            } else {
                const std::string named = "the smallest --vram-budget that works is " +
                                          std::to_string((least_for_two + kMiB - 1) / kMiB) + " MiB";
                expect_error(ErrorCode::kOutOfMemory, {"context of 64", named},
                             [&] { const Session second(model, kShort); });
            }
            first.truncate(0);
            EXPECT_TRUE(logits(first) == bits) << "the others go on";
            EXPECT_EQ(model->pager()->generation() == generation, !is_enough)
                << "a session that is refused costs the others no slot";
        }
    }
}

class RamBudgetTest : public MemoryBudgetTest {
  protected:
    void SetUp() override {
        if (!question(kShort).unified) GTEST_SKIP() << "the device has memory of its own";
    }

    /// Device and host memory together, at their largest.
    static uint64_t taken(const Session& session) {
        const Model& model = session.model();
        const uint64_t tier = model.pager() != nullptr ? model.pager()->host_tier().committed_bytes() : 0;
        return model.kernels().device().device_memory_peak() + tier +
               measure_session(model, session_shape(model, kShort)).host;
    }
};

TEST_F(RamBudgetTest, WhatFitsIsResident) {
    const MemoryQuestion needs = question(kShort);
    const auto model = Model::load(path_, {.ram_budget = needs.whole_vram + needs.session_ram + kMiB,
                                           .ram_reserve = kMiB,
                                           .session = planned(kShort)});
    EXPECT_EQ(model->pager(), nullptr);
    Session session(model, kShort);
    EXPECT_TRUE(logits(session) == expected(kShort));
    EXPECT_LE(taken(session), needs.whole_vram + needs.session_ram);
}

TEST_F(RamBudgetTest, DeviceAndHostShareTheBudget) {
    const MemoryQuestion needs = question(kShort);
    const std::vector<float> bits = expected(kShort);
    const uint64_t ram = (needs.whole_vram + needs.least_vram + needs.least_tier) / 2 + needs.session_ram;
    ASSERT_LT(ram, needs.whole_vram);
    for (const uint64_t vram : {uint64_t{0}, needs.least_vram, needs.least_vram + kMiB}) {
        SCOPED_TRACE(testing::Message() << "vram " << vram);
        const auto model =
            Model::load(path_, {.vram_budget = vram, .ram_budget = ram, .session = planned(kShort)});
        ASSERT_NE(model->pager(), nullptr);
        Session session(model, kShort);
        EXPECT_TRUE(logits(session) == bits);
        EXPECT_LE(taken(session), ram);
        EXPECT_GT(taken(session), ram * 3 / 4);
    }
}

TEST_F(RamBudgetTest, TheLeastThatIsNamedWorks) {
    for (const bool has_vram_budget : {false, true}) {
        ModelParams params{.ram_reserve = 3 * kMiB, .session = planned(kShort)};
        if (has_vram_budget) params.vram_budget = question(kShort).least_vram + kMiB;
        params.ram_budget = params.ram_reserve + params.vram_budget;
        uint64_t least = 0;
        try {
            Model::load(path_, params);
            FAIL() << "ran in " << params.ram_budget << " bytes";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
            const std::string message = error.what();
            std::smatch figure;
            ASSERT_TRUE(
                std::regex_search(message, figure, std::regex("smallest --ram-budget.* is (\\d+) MiB")))
                << message;
            least = std::stoull(figure[1]) * kMiB;
        }
        params.ram_budget = least;
        Session session(Model::load(path_, params), kShort);
        EXPECT_TRUE(logits(session) == expected(kShort));
        params.ram_budget = least - 2 * kMiB;
        expect_error(ErrorCode::kOutOfMemory, {"smallest --ram-budget"}, [&] { Model::load(path_, params); });
    }
}

}  // namespace
}  // namespace vkmoe
