// What a paged model does when memory is refused, files break and waits fail: it goes on with the same bits
// where it can, and else says what is wrong, keeps its place and goes on when that is mended.

#include "base/error.h"
#include "base/log.h"
#include "engine/generate.h"
#include "engine/session.h"
#include "experts/pager.h"
#include "model/paged_memory.h"
#include "model/tiny_models.h"
#include "unit/error_matching.h"
#include "unit/scoped_faults.h"
#include "unit/temp_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

namespace vkmoe {
namespace {

constexpr SessionParams kSession{.n_context = 64, .n_micro_batch = 16};
constexpr uint32_t kVocabulary = 300;

std::vector<int32_t> tokens_of(uint32_t n, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<int32_t> tokens(n);
    for (int32_t& token : tokens) token = static_cast<int32_t>(random() % kVocabulary);
    return tokens;
}

std::string bytes_of_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void write_into_file(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::in)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::vector<float> logits_of(const Session& session) {
    return {session.logits().begin(), session.logits().end()};
}

struct Fed {
    std::vector<int32_t> tokens;
    std::vector<float> logits;  // after them, as a resident model has them
};

class PagerFaults : public testing::Test {
  protected:
    void SetUp() override {
        set_faults("");
        set_log_level(LogLevel::kWarn);
        path_ = folder_ / "tiny.gguf";
        TinyModel model{.architecture = "qwen3moe",
                        .seed = 7,
                        .n_layers = 3,
                        .n_vocabulary = kVocabulary,
                        .n_context = 256,
                        .n_experts = 12,
                        .n_experts_used = 3};
        TinyFile file = make_tiny_file(model.with_type(TensorType::kQ4_K));
        // Records of two sizes, which lie in blocks of their own.
        TinyTensor& down = file.tensors.at("blk.2.ffn_down_exps.weight");
        std::vector<float> values(down.shape[0] * down.shape[1] * down.shape[2]);
        std::mt19937 random(8);
        std::normal_distribution<float> weight(0, 0.05f);
        for (float& value : values) value = weight(random);
        down = make_tensor(TensorType::kQ8_0, down.shape, values);
        file.write(path_);

        Session resident(Model::load(path_), kSession);
        ASSERT_EQ(resident.model().pager(), nullptr);
        for (uint32_t n : {1u, 20u, 1u, 5u, 1u, 9u, 1u}) {
            Fed& fed = text_.emplace_back();
            fed.tokens = tokens_of(n, static_cast<uint32_t>(text_.size()));
            resident.feed(fed.tokens);
            fed.logits = logits_of(resident);
        }
    }
    void TearDown() override { set_faults(""); }

    /// Budgets 0: none.
    std::shared_ptr<Model> load(PagerMode mode, uint64_t vram_budget = 0, uint64_t ram_budget = 0,
                                Prefetch prefetch = Prefetch::kAuto) const {
        return Model::load(
            path_,
            {.vram_budget = vram_budget, .ram_budget = ram_budget, .pager = mode, .prefetch = prefetch});
    }

    /// Enough for a session, the dense weights and a share of the experts, at least the fewest that work.
    uint64_t vram_for(PagerMode mode, double share, Prefetch prefetch = Prefetch::kAuto) const {
        const auto model = load(mode, 0, 0, prefetch);
        return vram_budget(*model, kSession, share_of(all_slots(*model), share));
    }
    /// A paged model with slots for a token, and places in host memory for a third.
    std::shared_ptr<Model> load_from_disk() const {
        const uint64_t vram = vram_for(PagerMode::kHost, 0);
        const auto whole = load(PagerMode::kHost);
        const uint64_t ram = ram_budget(whole->needs().question, vram, all_slots(*whole) / 3 + (1u << 20));
        auto model = load(PagerMode::kHost, vram, ram);
        EXPECT_FALSE(model->pager()->host_tier().all_resident());
        return model;
    }

    /// Feeds the text from `first` on, and expects what a resident model computes.
    void expect_right(Session& session, size_t first = 0) const {
        for (size_t i = first; i < text_.size(); ++i) {
            session.feed(text_[i].tokens);
            EXPECT_TRUE(logits_of(session) == text_[i].logits) << "other bits after piece " << i;
        }
    }

    struct FailingCall {
        FaultPoint point;
        std::string_view name;  ///< of the point, in a plan of faults
        std::string_view says;  ///< in the error's message
        bool computes_between;  ///< whether a call succeeds after each that fails, else each failure follows
                                ///< another
    };

    /// Lets one call fail at many of the places that each piece of the text has, of which the host's way has
    /// several a layer: the session must stay where it was, and what it computes next must be right, with no
    /// expert taken for brought that the failed call was to bring.
    void expect_failures_leave_nothing_behind(const FailingCall& failing) const {
        for (PagerMode mode : {PagerMode::kDevice, PagerMode::kHost}) {
            for (Prefetch prefetch : {Prefetch::kOff, Prefetch::kOn}) {
                Session session(load(mode, vram_for(mode, 0.3, prefetch), 0, prefetch), kSession);
                uint32_t n_failures = 0;
                for (size_t i = 0; i < text_.size(); ++i) {
                    const uint32_t before = session.position();
                    for (uint32_t at = 1;; at += 1 + at / 4) {
                        const ScopedFaults faults(fmt::format("{}:at={}:times=1", failing.name, at));
                        try {
                            session.feed(text_[i].tokens);
                            break;
                        } catch (const Error& error) {
                            EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory) << error.what();
                            EXPECT_NE(std::string_view(error.what()).find(failing.says),
                                      std::string_view::npos)
                                << error.what();
                            EXPECT_EQ(fault_count(failing.point), 1u) << error.what();
                            EXPECT_EQ(session.position(), before);
                            ++n_failures;
                        }
                        if (!failing.computes_between) {
                            EXPECT_TRUE(i == 0 || logits_of(session) == text_[i - 1].logits);
                            continue;
                        }
                        set_faults("");
                        session.feed(text_[i].tokens);
                        ASSERT_TRUE(logits_of(session) == text_[i].logits)
                            << "other bits after piece " << i << " and a failure at " << at;
                        session.truncate(before);
                    }
                    ASSERT_TRUE(logits_of(session) == text_[i].logits) << "other bits after piece " << i;
                }
                EXPECT_GE(n_failures, mode == PagerMode::kHost ? 3 * text_.size() : text_.size());
            }
        }
    }

    TempFolder folder_;
    std::string path_;
    std::vector<Fed> text_;
};

TEST_F(PagerFaults, RefusedSlotsMakeThePoolSmaller) {
    for (PagerMode mode : {PagerMode::kDevice, PagerMode::kHost}) {
        for (uint64_t budget : {uint64_t{0}, vram_for(mode, 0.8)}) {
            const Session whole(load(mode, budget), kSession);
            const Pager::Use slots_are_taken(whole.model().pager());
            const SlotPlan& plan = whole.model().pager()->plan();
            // The slots, and where the device decides its tables.
            for (int at = 1; at <= (mode == PagerMode::kDevice ? 2 : 1); ++at) {
                SCOPED_TRACE(
                    fmt::format("mode {}, budget {}, refusal {}", static_cast<int>(mode), budget, at));
                Session session(load(mode, budget), kSession);
                testing::internal::CaptureStderr();
                const ScopedFaults faults(fmt::format("device_allocation:at={}", at));
                expect_right(session);
                const std::string said = testing::internal::GetCapturedStderr();
                EXPECT_EQ(fault_count(FaultPoint::kDeviceAllocation), 1u);
                EXPECT_NE(said.find("of memory for experts; continuing with "), std::string::npos) << said;
                const SlotPlan& smaller = session.model().pager()->plan();
                EXPECT_LT(smaller.total_bytes(), plan.total_bytes());
                EXPECT_GE(smaller.n_slots(), plan.n_slots() / 3);
                if (at == 1) {
                    EXPECT_LT(smaller.n_slots(), plan.n_slots());
                }
                const Device& device = session.model().kernels().device();
                if (budget != 0) {
                    EXPECT_LT(device.memory_budget(), budget);
                    // What was taken when the device refused more, it does give: the slots may have shrunk
                    // since.
                    EXPECT_GE(device.memory_budget(), device.device_memory_taken());
                }
            }
        }
    }
}

TEST_F(PagerFaults, SlotsThatAreAllRefusedAreAskedForAgain) {
    for (PagerMode mode : {PagerMode::kDevice, PagerMode::kHost}) {
        Session session(load(mode, mode == PagerMode::kHost ? vram_for(mode, 0.5) : 0), kSession);
        {
            const ScopedFaults faults("device_allocation");
            expect_error(ErrorCode::kOutOfMemory, {"refused", "for experts", "smaller context"},
                         [&] { session.feed(text_[0].tokens); });
            EXPECT_EQ(session.position(), 0u);
        }
        expect_right(session);
    }
}

TEST_F(PagerFaults, RefusedPinningLeavesTheHostToPage) {
    for (const char* plan : {"host_pinning", "host_pinning:after=1"}) {
        SCOPED_TRACE(plan);
        const bool some_are_pinned = std::string_view(plan).ends_with("after=1");
        {
            const PagerMode mode = some_are_pinned ? PagerMode::kAuto : PagerMode::kHost;
            const uint64_t budget = vram_for(PagerMode::kHost, 0.3);
            const ScopedFaults faults(plan);
            const auto model = load(mode, budget);
            EXPECT_GT(fault_count(FaultPoint::kHostPinning), 0u);
            EXPECT_EQ(model->pager()->mode(), PagerMode::kHost);
            EXPECT_FALSE(model->pager()->host_tier().all_pinned());
            EXPECT_EQ(model->pager()->host_tier().pinned_bytes() > 0, some_are_pinned);
            EXPECT_NE(model->pager()->describe().find("some of which the device cannot read"),
                      std::string::npos);
            Session session(model, kSession);
            expect_right(session);
        }
        const ScopedFaults faults(plan);
        expect_error(ErrorCode::kUnsupported, {"--pager device", "refused to pin", "--pager host"},
                     [&] { load(PagerMode::kDevice); });
    }
}

TEST_F(PagerFaults, ATruncatedFileIsAnErrorUntilItIsWhole) {
    Session session(load_from_disk(), kSession);
    session.feed(text_[0].tokens);
    const std::string bytes = bytes_of_file(path_);
    for (size_t i = 1; i < text_.size(); ++i) {
        if (i < 3) {  // a batch, and one token
            const uint32_t before = session.position();
            // Nothing is left: not of the header either.
            std::filesystem::resize_file(path_, 0);
            for (int again = 0; again < 2; ++again) {
                expect_error(ErrorCode::kIo,
                             {"disk tier: expert ", " of layer ", path_, "cut short", "restore it"},
                             [&] { session.feed(text_[i].tokens); });
                EXPECT_EQ(session.position(), before);
                EXPECT_TRUE(logits_of(session) == text_[i - 1].logits);
            }
            write_into_file(path_, bytes);
        }
        session.feed(text_[i].tokens);
        EXPECT_TRUE(logits_of(session) == text_[i].logits) << "other bits after piece " << i;
    }
}

TEST_F(PagerFaults, AFailedReadIsAnErrorThatPasses) {
    Session session(load_from_disk(), kSession);
    expect_right(session);
    session.truncate(0);
    for (size_t i = 0; i < text_.size(); ++i) {
        const uint32_t before = session.position();
        if (i > 0) {
            const ScopedFaults faults("disk_read");
            expect_error(ErrorCode::kIo, {"disk tier: expert ", " of layer ", path_, "check the disk"}, [&] {
                session.feed(text_[i].tokens);
                ADD_FAILURE() << "piece " << i << " needs nothing from the disk";
            });
            EXPECT_EQ(session.position(), before);
        }
        session.feed(text_[i].tokens);
        EXPECT_TRUE(logits_of(session) == text_[i].logits) << "other bits after piece " << i;
    }
}

TEST_F(PagerFaults, AnUnreadableFileIsNotLoaded) {
    // Other weights come first, a read each.
    const GgufFile file(path_);
    const auto n_others = std::ranges::count_if(file.tensors(), [](const GgufTensor& tensor) {
        return tensor.name.find("_exps") == std::string_view::npos;
    });
    const auto fails = [&](PagerMode mode, const std::string& plan, std::string_view what) {
        SCOPED_TRACE(plan);
        expect_error(ErrorCode::kIo, {what, path_, "check the disk"}, [&] {
            const ScopedFaults faults(plan);
            load(mode);
        });
    };
    for (PagerMode mode : {PagerMode::kDevice, PagerMode::kHost}) {
        fails(mode, "disk_read", "tensor '");
        fails(mode, fmt::format("disk_read:at={}", n_others), "tensor '");
        fails(mode, fmt::format("disk_read:at={}", n_others + 1), "disk tier: expert 0 of layer 0: ");
        fails(mode, fmt::format("disk_read:at={}", n_others + 20), "disk tier: expert ");
        fails(mode, fmt::format("disk_read:after={}", n_others), " of layer ");
    }
}

TEST_F(PagerFaults, AFailedWaitIsAnErrorAndLeavesTheSessionAsItWas) {
    expect_failures_leave_nothing_behind({FaultPoint::kWait, "wait", "wait for the device", false});
}

TEST_F(PagerFaults, AFailedSubmissionLeavesNoExpertThatDidNotCome) {
    expect_failures_leave_nothing_behind({FaultPoint::kSubmit, "submit", "submit work to the device", true});
}

TEST_F(PagerFaults, AThreadThatCannotStartLeavesThePoolAsItWas) {
    const uint64_t budget = vram_for(PagerMode::kHost, 0.3);
    const auto model =
        Model::load(path_, {.vram_budget = budget, .pager = PagerMode::kHost, .copy_by = CopyBy::kHost});
    Session session(model, kSession);
    for (int again = 0; again < 2; ++again) {
        const ScopedFaults faults("thread_start");
        expect_error(ErrorCode::kResourceLimit, {"cannot start a thread to copy experts", "ulimit -u"},
                     [&] { session.feed(text_[0].tokens); });
        EXPECT_EQ(session.position(), 0u);
        EXPECT_EQ(model->kernels().device().memory_budget(), budget);
    }
    expect_right(session);
}

/// What routers did so far, as a session has counted it.
struct Counted {
    explicit Counted(const Session& session) : counts(session.expert_counts()) {
        for (const LoadBalance& layer : session.router_statistics()) {
            tokens.push_back(layer.n_tokens);
            probabilities.push_back(layer.mean_probability);
        }
    }
    bool operator==(const Counted&) const = default;

    std::vector<uint64_t> counts;
    std::vector<uint64_t> tokens;
    std::vector<std::vector<double>> probabilities;
};

TEST_F(PagerFaults, WhatFailsIsNotCounted) {
    SessionParams params = kSession;
    params.router_statistics = true;
    std::vector<Counted> expected;
    {
        Session resident(Model::load(path_), params);
        for (const Fed& fed : text_) {
            resident.feed(fed.tokens);
            expected.emplace_back(resident);
        }
        resident.feed_greedy(9);
        expected.emplace_back(resident);
    }
    for (PagerMode mode : {PagerMode::kDevice, PagerMode::kHost}) {
        Session session(load(mode, vram_for(mode, 0.3)), params);
        for (size_t i = 0; i <= text_.size(); ++i) {
            const Counted before(session);
            uint32_t n_failures = 0;
            for (uint32_t at = 1;; at += 1 + at / 3) {
                const ScopedFaults faults(fmt::format("wait:at={}:times=1", at));
                try {
                    if (i < text_.size()) {
                        session.feed(text_[i].tokens);
                    } else {
                        session.feed_greedy(9);
                    }
                    break;
                } catch (const Error& error) {
                    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory) << error.what();
                    EXPECT_TRUE(Counted(session) == before) << "piece " << i << ", failure at " << at;
                    ++n_failures;
                }
            }
            EXPECT_GT(n_failures, text_[std::min(i, text_.size() - 1)].tokens.size() > 16 ? 1u : 0u);
            EXPECT_TRUE(Counted(session) == expected[i]) << "piece " << i;
        }
    }
}

TEST_F(PagerFaults, ATextBreaksOffWhereItsTokensEnd) {
    GenerateParams params{.n_tokens = 20, .ignore_end = true};
    for (const float temperature : {0.0f, 0.8f}) {
        params.sampling.temperature = temperature;
        Session session(load(PagerMode::kHost, vram_for(PagerMode::kHost, 0.3)), kSession);
        const auto tokenizer = make_tokenizer(session.model().file());
        std::vector<int32_t> history = text_[1].tokens;
        session.feed(history);
        std::vector<int32_t> heard;
        {
            const ScopedFaults faults("wait:at=20");
            expect_error(ErrorCode::kOutOfMemory, {"wait for the device"}, [&] {
                generate(session, *tokenizer, params, history, [&](int32_t token, std::string_view) {
                    heard.push_back(token);
                    return true;
                });
            });
        }
        EXPECT_EQ(history.size(), session.position());
        // The last one was said, and then could not be computed.
        EXPECT_EQ(history.size() + 1, text_[1].tokens.size() + heard.size());
        EXPECT_GT(heard.size(), 1u);
    }
}

TEST_F(PagerFaults, AFailureDoesNotEndFollowingThePlan) {
    Session session(load(PagerMode::kHost, vram_for(PagerMode::kHost, 0.3)), kSession);
    session.feed(text_[0].tokens);
    const uint32_t before = session.position();
    int32_t expected = 0;
    {
        Session resident(Model::load(path_), kSession);
        resident.feed(text_[0].tokens);
        expected = resident.feed_greedy(9);
    }
    {
        const ScopedFaults faults("wait:at=2");
        expect_error(ErrorCode::kOutOfMemory, {"wait for the device"}, [&] { session.feed_greedy(9); });
    }
    EXPECT_EQ(session.position(), before);
    expect_error(ErrorCode::kInvalidArgument, {"no routes yet"}, [&] { session.routes(); });
    EXPECT_EQ(session.feed_greedy(9), expected);
    EXPECT_EQ(session.routes().n_tokens, 1u);
}

TEST_F(PagerFaults, AFailureWhileASessionIsMadeLeavesTheOthers) {
    for (PagerMode mode : {PagerMode::kDevice, PagerMode::kHost}) {
        const auto model = load(mode, vram_for(mode, 0.9));
        Session first(model, kSession);
        first.feed(text_[0].tokens);
        const uint32_t n_slots = model->pager()->plan().n_slots();
        {
            // The new one's memory is that of slots, which are given back when the device is done with them.
            const ScopedFaults faults("wait");
            expect_error(ErrorCode::kOutOfMemory, {"wait for the device"}, [&] { Session(model, kSession); });
        }
        Session second(model, kSession);
        second.feed(text_[0].tokens);
        EXPECT_TRUE(logits_of(second) == text_[0].logits);
        EXPECT_LT(model->pager()->plan().n_slots(), n_slots);
        expect_right(first, 1);
    }
}

}  // namespace
}  // namespace vkmoe
