// Paged models at small budgets, again and again, while memory is refused, reads fail and the device is lost:
// no wrong number, no hang, no leak. Runs for VKMOE_SOAK_SECONDS; 20 s without it.

#include "base/error.h"
#include "base/faults.h"
#include "engine/session.h"
#include "experts/pager.h"
#include "long_form.h"
#include "model/paged_memory.h"
#include "model/tiny_models.h"
#include "unit/temp_folder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <random>

namespace vkmoe {
namespace {

constexpr SessionParams kSession{.n_context = 200, .n_micro_batch = 64};
constexpr uint32_t kVocabulary = 300;
constexpr uint32_t kPromptLengths[] = {1, 7, 50, 130};
constexpr int kDecoded = 12;
constexpr FaultPoint kPoints[] = {
    FaultPoint::kDeviceAllocation, FaultPoint::kHostPinning, FaultPoint::kDiskRead, FaultPoint::kShortRead,
    FaultPoint::kDeviceLost,       FaultPoint::kSubmit,      FaultPoint::kWait};
/// A leak of a model or a session a run would be far more.
constexpr uint64_t kFlat = 48ull << 20;

using Clock = std::chrono::steady_clock;

uint64_t resident_bytes() {
    uint64_t total = 0;
    uint64_t resident = 0;
    std::ifstream("/proc/self/statm") >> total >> resident;
    return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::vector<int32_t> prompt_of(uint32_t length) {
    std::mt19937 random(length);
    std::vector<int32_t> tokens(length);
    for (int32_t& token : tokens) token = static_cast<int32_t>(random() % kVocabulary);
    return tokens;
}

class PagerSoak : public testing::Test {
  protected:
    struct Setting {
        size_t model = 0;
        PagerMode mode = PagerMode::kHost;
        Prefetch prefetch = Prefetch::kOff;

        auto operator<=>(const Setting&) const = default;
    };
    struct Sizes {
        uint64_t beside = 0;
        uint64_t experts = 0;
        uint64_t least = 0;
        MemoryQuestion question;
    };

    void SetUp() override {
        set_faults("");
        for (bool mixed : {false, true}) {
            TinyModel model{.architecture = "qwen3moe",
                            .seed = mixed ? 5u : 4u,
                            .n_layers = 3,
                            .n_vocabulary = kVocabulary,
                            .n_context = 256,
                            .n_experts = 12,
                            .n_experts_used = 3};
            model = model.with_type(TensorType::kQ4_K);
            if (mixed) model.up_type = TensorType::kQ8_0;
            paths_.push_back(folder_ / fmt::format("tiny{}.gguf", mixed));
            make_tiny_file(model).write(paths_.back());
            Session session(Model::load(paths_.back()), kSession);
            for (uint32_t length : kPromptLengths) {
                session.truncate(0);
                expected_[{paths_.size() - 1, length}] = logits_of(session, prompt_of(length));
            }
        }
    }
    void TearDown() override { set_faults(""); }

    /// Feeds again what a fault made fail, which must then go well.
    template <typename Feed>
    static void despite_faults(Feed feed) {
        try {
            feed();
        } catch (const Error&) {
            if (!fired() || fault_count(FaultPoint::kDeviceLost) > 0) throw;
            set_faults("");
            feed();
        }
    }

    static bool fired() {
        return std::any_of(std::begin(kPoints), std::end(kPoints),
                           [](FaultPoint point) { return fault_count(point) > 0; });
    }

    /// Logits after a prompt and after each of some likeliest tokens.
    static std::vector<float> logits_of(Session& session, std::span<const int32_t> prompt) {
        std::vector<float> all;
        std::vector<int32_t> fed(prompt.begin(), prompt.end());
        for (int step = 0; step <= kDecoded; ++step) {
            const uint32_t before = session.position();
            despite_faults([&] {
                EXPECT_EQ(session.position(), before) << "a feed that failed left tokens behind";
                session.feed(fed);
            });
            const std::span<const float> logits = session.logits();
            all.insert(all.end(), logits.begin(), logits.end());
            fed = {static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin())};
        }
        return all;
    }

    const Sizes& sizes_of(const Setting& setting) {
        auto [found, is_new] = sizes_.try_emplace(setting);
        if (!is_new) return found->second;
        const auto model =
            Model::load(paths_[setting.model], {.pager = setting.mode, .prefetch = setting.prefetch});
        found->second = {.beside = memory_beside_slots(*model, kSession),
                         .experts = all_slots(*model),
                         .least = model->pager()->least_bytes(),
                         .question = model->needs().question};
        return found->second;
    }

    /// Returns whether it got as far as computing.
    bool run_once(std::mt19937& random) {
        const Setting setting{.model = random() % paths_.size(),
                              .mode = random() % 2 == 0 ? PagerMode::kDevice : PagerMode::kHost,
                              .prefetch = random() % 2 == 0 ? Prefetch::kOn : Prefetch::kOff};
        set_faults("");
        const Sizes sizes = sizes_of(setting);
        const uint64_t quarter = sizes.experts * (random() % 4) / 4;
        const uint64_t budget = sizes.beside + std::max(quarter, sizes.least);
        const bool from_disk = setting.mode == PagerMode::kHost && random() % 2 == 0;
        const uint64_t ram =
            from_disk ? ram_budget(sizes.question, budget, sizes.experts / 3 + (1u << 20)) : 0;
        const uint32_t length = kPromptLengths[random() % std::size(kPromptLengths)];
        const char* const plans[] = {"",
                                     "",
                                     "device_allocation:at={0}",
                                     "host_pinning:after={0}",
                                     "disk_read:every={1}",
                                     "short_read:every=3",
                                     "disk_read:chance=0.05:seed={0}:times=1",
                                     "wait:at={1}",
                                     "wait:chance=0.02:seed={0}:times=1",
                                     "submit:at={1}",
                                     "submit:chance=0.02:seed={0}:times=1",
                                     "device_lost:at={1}"};
        const std::string plan = fmt::format(fmt::runtime(plans[random() % std::size(plans)]),
                                             1 + random() % 6, 10 + random() % 60);
        SCOPED_TRACE(fmt::format("model {}, mode {}, prefetch {}, vram {}, ram {}, prompt {}, faults '{}'",
                                 setting.model, static_cast<int>(setting.mode),
                                 static_cast<int>(setting.prefetch), budget, ram, length, plan));
        set_faults(plan);
        std::shared_ptr<Model> model;
        std::unique_ptr<Session> session;
        try {
            model = Model::load(paths_[setting.model], {.vram_budget = budget,
                                                        .ram_budget = ram,
                                                        .pager = setting.mode,
                                                        .prefetch = setting.prefetch});
            session = std::make_unique<Session>(model, kSession);
        } catch (const Error& error) {
            EXPECT_TRUE(fired()) << "no fault, and yet: " << error.what();
            return false;
        }
        try {
            EXPECT_TRUE(logits_of(*session, prompt_of(length)) == expected_.at({setting.model, length}))
                << "other bits";
        } catch (const Error& error) {
            // What a budget has no room for after a refusal stays out of room, and a lost device lost.
            EXPECT_TRUE((error.code() == ErrorCode::kOutOfMemory && plan.starts_with("device_allocation")) ||
                        (error.code() == ErrorCode::kDeviceLost && plan.starts_with("device_lost")))
                << error.what();
        }
        EXPECT_LE(model->kernels().device().device_memory_peak(), budget);
        return true;
    }

    TempFolder folder_;
    std::vector<std::string> paths_;
    std::map<std::pair<size_t, uint32_t>, std::vector<float>> expected_;
    std::map<Setting, Sizes> sizes_;
};

TEST_F(PagerSoak, FaultsAtRandom) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto end = Clock::now() + std::chrono::duration<double>(test_seconds("VKMOE_SOAK_SECONDS", 20));
    constexpr int kWarmUp = 30;
    int n_runs = 0;
    int n_computed = 0;
    uint64_t warm_bytes = 0;
    while (Clock::now() < end && !HasFailure()) {
        n_computed += run_once(random);
        if (++n_runs == kWarmUp) warm_bytes = resident_bytes();
        if (n_runs % 100 == 0)
            fmt::print("{} runs, {} of them computed, {} MiB resident\n", n_runs, n_computed,
                       resident_bytes() >> 20);
    }
    set_faults("");
    EXPECT_GT(n_computed, 0);
    if (n_runs > kWarmUp) {
        EXPECT_LT(resident_bytes(), warm_bytes + kFlat) << "after " << n_runs << " runs";
    }
    fmt::print("{} runs, {} of them computed, seed {}\n", n_runs, n_computed, seed);
}

}  // namespace
}  // namespace vkmoe
