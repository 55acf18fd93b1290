// Any order of commands that the barriers allow gives the same bits. The recorder runs what lies between two
// barriers last first and in random orders, so that an access which a kernel's dispatch does not name shows
// as other logits.

#include "engine/session.h"
#include "experts/pager.h"
#include "kernels/scoped_variable.h"
#include "long_form.h"
#include "model/paged_memory.h"
#include "model/tiny_models.h"
#include "unit/temp_folder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <ostream>
#include <random>

namespace vkmoe {
namespace {

constexpr uint32_t kVocabulary = 300;

struct Setting {
    const char* architecture = "";
    bool has_experts = true;
    bool is_paged = false;       ///< by every pager, and resident
    bool mixed_types = false;    ///< gate and up of different types take other kernels
    const char* path = nullptr;  ///< of the kernels; null: the best
    TensorType kv_type = TensorType::kF16;

    friend std::ostream& operator<<(std::ostream& out, const Setting& setting) {
        return out << setting.name();
    }
    std::string name() const {
        return fmt::format("{}{}{}{}{}", architecture, has_experts ? "" : "Dense", is_paged ? "Paged" : "",
                           mixed_types ? "Mixed" : "", path != nullptr ? path : "");
    }
};

struct Paging {
    const char* name = "";
    PagerMode mode = PagerMode::kAuto;  ///< kAuto: experts are resident
    Prefetch prefetch = Prefetch::kOff;
};

constexpr Paging kPagings[] = {{"resident"},
                               {"device", PagerMode::kDevice},
                               {"device, prefetch", PagerMode::kDevice, Prefetch::kOn},
                               {"host", PagerMode::kHost},
                               {"host, prefetch", PagerMode::kHost, Prefetch::kOn}};

class DispatchOrder : public testing::TestWithParam<Setting> {
  protected:
    DispatchOrder() : path_(folder_ / "tiny.gguf"), random_(seed_), kernels_("VKMOE_PATH", GetParam().path) {
        RecordProperty("seed", std::to_string(seed_));
        TinyModel model{.architecture = GetParam().architecture,
                        .seed = static_cast<uint32_t>(seed_),
                        .n_layers = 2,
                        .n_vocabulary = kVocabulary,
                        .n_context = 1024,
                        .n_experts = GetParam().has_experts ? 12u : 0u,
                        .n_experts_used = 3};
        model = model.with_type(TensorType::kQ4_K);
        if (GetParam().mixed_types) model.up_type = TensorType::kQ8_0;
        make_tiny_file(model).write(path_);
        for (int32_t& token : prompt_) token = static_cast<int32_t>(random_() % kVocabulary);
    }

    std::shared_ptr<Model> load(const Paging& paging) const {
        if (paging.mode == PagerMode::kAuto) return Model::load(path_);
        uint64_t budget = 0;
        {
            const auto model = Model::load(path_, {.pager = paging.mode, .prefetch = paging.prefetch});
            budget = vram_budget(*model, params(), all_slots(*model) / 3);
        }
        return Model::load(path_, {.vram_budget = budget, .pager = paging.mode, .prefetch = paging.prefetch});
    }

    SessionParams params() const {
        return {.n_context = 700,
                .n_micro_batch = 24,
                .kv_type = GetParam().kv_type,
                .router_statistics = true,
                .look_ahead = true};
    }

    /// All that a session gives for a prompt in two micro-batches, for few tokens at once and for one at a
    /// time.
    std::vector<float> everything(const std::shared_ptr<Model>& model) const {
        Session session(model, params());
        std::vector<float> all(prompt_.size() * kVocabulary);
        session.feed(prompt_, all);
        const auto append = [&](std::span<const float> values) {
            all.insert(all.end(), values.begin(), values.end());
        };
        append(session.logits());
        session.feed(std::vector<int32_t>{5, 6, 7, 8, 9});
        append(session.logits());
        for (int32_t token = 0; token < 3; ++token) {
            session.feed(std::vector<int32_t>{token * 71});
            append(session.logits());
        }
        int32_t token = 11;
        for (int i = 0; i < 3; ++i) {
            token = session.feed_greedy(token);
            all.push_back(static_cast<float>(token));
        }
        for (const uint64_t count : session.expert_counts()) all.push_back(static_cast<float>(count));
        return all;
    }

    TempFolder folder_;
    std::string path_;
    uint64_t seed_ = std::random_device{}();
    std::mt19937_64 random_;
    ScopedVariable kernels_;
    std::vector<int32_t> prompt_ = std::vector<int32_t>(40);
};

TEST_P(DispatchOrder, ChangesNoBit) {
    const ScopedVariable as_recorded("VKMOE_SHUFFLE_DISPATCHES", nullptr);
    const std::vector<float> expected = everything(load(kPagings[0]));
    for (const Paging& paging : kPagings) {
        if (paging.mode != PagerMode::kAuto && !GetParam().is_paged) continue;
        const auto model = load(paging);
        ASSERT_EQ(model->pager() != nullptr, paging.mode != PagerMode::kAuto);
        for (int i = 0; i < (is_long_form() ? 30 : 2); ++i) {
            const std::string order = i == 0 ? "reversed" : std::to_string(random_());
            const ScopedVariable shuffled("VKMOE_SHUFFLE_DISPATCHES", order.c_str());
            EXPECT_TRUE(everything(model) == expected)
                << "model of seed " << seed_ << ", " << paging.name << ", VKMOE_SHUFFLE_DISPATCHES=" << order;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Models, DispatchOrder,
                         testing::Values(Setting{"llama", false}, Setting{"llama"},
                                         Setting{"qwen3moe", true, true},
                                         Setting{"qwen3moe", true, true, true},
                                         Setting{"qwen3moe", true, false, false, "scalar", TensorType::kF32},
                                         Setting{"olmoe", true, false, false, nullptr, TensorType::kQ8_0}),
                         [](const auto& tested) { return tested.param.name(); });

}  // namespace
}  // namespace vkmoe
