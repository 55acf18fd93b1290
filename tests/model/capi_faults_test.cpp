// Faults of the device at every call of the C API: a failure that passes leaves everything as it was, and the
// call can be made again; a device that is lost or hangs is reported by every later call, at once, and all
// can be freed in any order.

#include "base/faults.h"
#include "kernels/scoped_variable.h"
#include "long_form.h"
#include "model/paged_memory.h"
#include "unit/scoped_faults.h"
#include "vkmoe/vkmoe.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

using vkmoe::is_long_form;
using vkmoe::ScopedFaults;
using vkmoe::ScopedVariable;
using vkmoe::set_faults;

const char* const kModel = VKMOE_SOURCE_DIR "/samples/models/babel-moe-14m-f16.gguf";
const std::vector<int32_t> kPrompt = {5, 17, 300, 42, 8,  9,  1000, 77, 6,  5,
                                      4, 3,  2,   1,  11, 12, 13,   14, 15, 16};
constexpr size_t kGenerated = 3;
/// A call that fails at once, as slow machines under sanitizers see it.
constexpr double kAtOnce = 5;

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Way {
    const char* name;
    vkmoe_pager pager;
};
constexpr Way kWays[] = {
    {"resident", VKMOE_PAGER_AUTO}, {"device", VKMOE_PAGER_DEVICE}, {"host", VKMOE_PAGER_HOST}};

/// The calls of a program that uses all there is, one after the other. Whatever it makes it frees.
class Script {
  public:
    explicit Script(const Way& way) {
        vkmoe_model_default_params(&model_params_, sizeof model_params_);
        vkmoe_session_default_params(&session_params_, sizeof session_params_);
        session_params_.n_context = 64;
        session_params_.n_micro_batch = 16;
        session_params_.router_statistics = true;
        model_params_.session = &session_params_;
        model_params_.pager = way.pager;
        if (way.pager != VKMOE_PAGER_AUTO) model_params_.vram_budget = paged_budget(way.pager);
        const auto never = [] { return false; };
        const auto has_session = [this] { return session != nullptr; };
        add("vkmoe_model_load", never, [this] { return vkmoe_model_load(kModel, &model_params_, &model); });
        add("vkmoe_session_create", never, [this] { return create(&session); });
        add("vkmoe_session_feed, a prompt", has_session, [this] {
            logits_.resize(kPrompt.size() * 4096);
            return vkmoe_session_feed(session, kPrompt.data(), kPrompt.size(), logits_.data());
        });
        add("vkmoe_session_feed, a token", has_session, [this] {
            const int32_t token = 7;
            return vkmoe_session_feed(session, &token, 1, nullptr);
        });
        add("vkmoe_session_create, another", never, [this] { return create(&other); });
        add(
            "vkmoe_session_feed, of the other", [this] { return other != nullptr; },
            [this] { return vkmoe_session_feed(other, kPrompt.data(), 3, nullptr); });
        add(
            "vkmoe_session_generate", [this] { return position() != 0 && tokens_.size() < kGenerated; },
            [this] { return generate(); });
        add("vkmoe_session_pager_stats", never, [this] {
            vkmoe_pager_stats stats{};
            stats.struct_size = sizeof stats;
            return vkmoe_session_pager_stats(session, &stats);
        });
        add("vkmoe_session_expert_counts", has_session, [this] {
            counts_.resize(64);
            return vkmoe_session_expert_counts(session, counts_.data(), counts_.size());
        });
        add("vkmoe_session_router_statistics", has_session, [this] {
            vkmoe_router_statistics statistics{};
            statistics.struct_size = sizeof statistics;
            return vkmoe_session_router_statistics(session, 0, &statistics);
        });
        add("vkmoe_session_truncate", never, [this] { return vkmoe_session_truncate(session, 10); });
        add("vkmoe_session_feed, after it", has_session,
            [this] { return vkmoe_session_feed(session, kPrompt.data(), 5, nullptr); });
    }
    ~Script() { free_all(0); }

    struct Call {
        std::string name;
        std::function<bool()> fails_when_lost;  // it can be made again, and cannot do without the device
        std::function<vkmoe_status()> make;
    };
    const std::vector<Call>& calls() const { return calls_; }

    uint32_t position() const { return vkmoe_session_position(session); }

    /// Frees what there is, by the number of an order.
    void free_all(size_t order) {
        std::vector<std::function<void()>> frees = {
            [this] { vkmoe_session_free(std::exchange(session, nullptr)); },
            [this] { vkmoe_session_free(std::exchange(other, nullptr)); },
            [this] { vkmoe_model_free(std::exchange(model, nullptr)); }};
        std::rotate(frees.begin(), frees.begin() + static_cast<std::ptrdiff_t>(order % 3), frees.end());
        if (order % 2 == 1) std::swap(frees[1], frees[2]);
        for (const auto& free : frees) free();
    }

    /// What was computed: the same whatever failed in between.
    struct Results {
        std::vector<float> logits;
        std::vector<int32_t> tokens;
        std::vector<uint64_t> counts;
        bool operator==(const Results&) const = default;
    };
    Results results() const {
        Results results{logits_, tokens_, counts_};
        const float* last = nullptr;
        EXPECT_EQ(vkmoe_session_logits(session, &last), VKMOE_OK);
        if (last != nullptr) results.logits.insert(results.logits.end(), last, last + 4096);
        return results;
    }

    vkmoe_model* model = nullptr;
    vkmoe_session* session = nullptr;
    vkmoe_session* other = nullptr;

  private:
    void add(std::string name, std::function<bool()> fails_when_lost, std::function<vkmoe_status()> call) {
        calls_.push_back({std::move(name), std::move(fails_when_lost), std::move(call)});
    }

    vkmoe_status create(vkmoe_session** to) { return vkmoe_session_create(model, &session_params_, to); }

    vkmoe_status generate() {
        if (said_) {
            // It was said before it failed to be computed.
            const vkmoe_status status = vkmoe_session_feed(session, &*said_, 1, nullptr);
            if (status != VKMOE_OK) return status;
            tokens_.push_back(*said_);
            said_.reset();
        }
        vkmoe_sampling sampling;
        vkmoe_sampling_default(&sampling, sizeof sampling);
        sampling.temperature = 0;
        sampling.ignore_end = true;
        std::vector<int32_t> heard;
        const auto hear = [](int32_t token, const char*, size_t, void* user) {
            if (token >= 0) static_cast<std::vector<int32_t>*>(user)->push_back(token);
            return true;
        };
        const uint32_t before = position();
        const vkmoe_status status =
            vkmoe_session_generate(session, &sampling, kGenerated - tokens_.size(), hear, &heard);
        if (heard.size() > position() - before) {
            said_ = heard.back();
            heard.pop_back();
        }
        tokens_.insert(tokens_.end(), heard.begin(), heard.end());
        return status;
    }

    /// Room for two sessions, and slots for half of the experts.
    static uint64_t paged_budget(vkmoe_pager pager) {
        static std::map<vkmoe_pager, uint64_t> budgets;
        uint64_t& budget = budgets[pager];
        if (budget != 0) return budget;
        const auto model = vkmoe::Model::load(kModel, {.pager = static_cast<vkmoe::PagerMode>(pager)});
        const vkmoe::SessionParams params{.n_context = 64, .n_micro_batch = 16, .router_statistics = true};
        budget = vkmoe::vram_budget(*model, params, vkmoe::all_slots(*model) / 2) +
                 vkmoe::measure_session(*model, vkmoe::session_shape(*model, params)).bytes();
        return budget;
    }

    vkmoe_model_params model_params_;
    vkmoe_session_params session_params_;
    std::vector<Call> calls_;
    std::vector<float> logits_;
    std::vector<int32_t> tokens_;
    std::optional<int32_t> said_;  // a token that is not in the session
    std::vector<uint64_t> counts_;
};

void expect_one_line() {
    const std::string message = vkmoe_last_error();
    EXPECT_FALSE(message.empty());
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

Script::Results expected_results(const Way& way) {
    Script script(way);
    for (const Script::Call& call : script.calls())
        EXPECT_EQ(call.make(), VKMOE_OK) << call.name << ": " << vkmoe_last_error();
    return script.results();
}

class CApiFaults : public testing::TestWithParam<Way> {
  protected:
    void TearDown() override { set_faults(""); }
};

TEST_P(CApiFaults, WhatPassesLeavesEachCallToBeMadeAgain) {
    const Script::Results expected = expected_results(GetParam());
    for (const char* point : {"submit", "wait"}) {
        Script script(GetParam());
        int n_failures = 0;
        for (const Script::Call& call : script.calls()) {
            // At each time that the call comes by the point; in the short form the first, the third, the
            // seventh …
            for (uint32_t at = 1;; at += is_long_form() ? 1 : 1 + at) {
                const std::string plan = fmt::format("{}:at={}:times=1", point, at);
                SCOPED_TRACE(call.name + ", " + plan);
                const uint32_t before = script.position();
                set_faults(plan);
                const vkmoe_status status = call.make();
                set_faults("");
                if (status == VKMOE_OK) break;
                ++n_failures;
                ASSERT_EQ(status, VKMOE_OUT_OF_MEMORY) << vkmoe_last_error();
                expect_one_line();
                if (call.name != "vkmoe_session_generate") {
                    ASSERT_EQ(script.position(), before);
                }
            }
        }
        EXPECT_GE(n_failures, 5) << point;
        EXPECT_TRUE(script.results() == expected) << "other results after failures of " << point;
    }
}

TEST_P(CApiFaults, ALostDeviceIsReportedByEachCallFromThenOn) {
    const size_t n_calls = Script(GetParam()).calls().size();
    size_t order = 0;
    for (size_t lost_in = 0; lost_in < n_calls; ++lost_in) {
        for (const uint32_t at : {1u, 4u}) {
            Script script(GetParam());
            SCOPED_TRACE(fmt::format("{}, point {}, order {}", script.calls()[lost_in].name, at, order));
            for (size_t i = 0; i < lost_in; ++i) ASSERT_EQ(script.calls()[i].make(), VKMOE_OK);
            set_faults(fmt::format("device_lost:at={}:times=1", at));
            const vkmoe_status status = script.calls()[lost_in].make();
            set_faults("");
            if (status == VKMOE_OK) break;  // the call comes by the point less often
            ASSERT_EQ(status, VKMOE_DEVICE_LOST) << vkmoe_last_error();
            expect_one_line();
            const auto start = std::chrono::steady_clock::now();
            for (const Script::Call& call : script.calls()) {
                if (!call.fails_when_lost()) continue;
                EXPECT_EQ(call.make(), VKMOE_DEVICE_LOST) << call.name << ": " << vkmoe_last_error();
                expect_one_line();
            }
            if (script.model != nullptr) {
                vkmoe_session* session = nullptr;
                EXPECT_EQ(vkmoe_session_create(script.model, nullptr, &session), VKMOE_DEVICE_LOST);
                EXPECT_EQ(session, nullptr);
            }
            script.free_all(order++);
            EXPECT_LT(seconds_since(start), kAtOnce);
        }
    }
    EXPECT_GE(order, 6U);
    EXPECT_TRUE(expected_results(GetParam()) == expected_results(GetParam())) << "a new model works";
}

TEST_P(CApiFaults, ADeviceThatHangsIsReportedAndFreed) {
    for (size_t order = 0; order < 6; ++order) {
        Script script(GetParam());
        SCOPED_TRACE(order);
        const ScopedVariable timeout("VKMOE_GPU_TIMEOUT", "0.0001");
        vkmoe_status status = VKMOE_OK;
        for (const Script::Call& call : script.calls()) {
            status = call.make();
            if (status != VKMOE_OK) break;
        }
        ASSERT_EQ(status, VKMOE_DEVICE_LOST) << vkmoe_last_error();
        EXPECT_NE(std::string(vkmoe_last_error()).find("within 0.0001 s"), std::string::npos)
            << vkmoe_last_error();
        const auto start = std::chrono::steady_clock::now();
        if (script.session != nullptr) {
            const int32_t token = 3;
            EXPECT_EQ(vkmoe_session_feed(script.session, &token, 1, nullptr), VKMOE_DEVICE_LOST);
            EXPECT_NE(std::string(vkmoe_last_error()).find("has failed"), std::string::npos)
                << vkmoe_last_error();
        }
        script.free_all(order);
        EXPECT_LT(seconds_since(start), kAtOnce);
    }
}

TEST(CApiTimeout, AMistypedOneIsFoundWhenTheModelIsLoaded) {
    const ScopedVariable timeout("VKMOE_GPU_TIMEOUT", "1O");
    vkmoe_model* model = nullptr;
    EXPECT_EQ(vkmoe_model_load(kModel, nullptr, &model), VKMOE_INVALID_ARGUMENT);
    EXPECT_NE(std::string(vkmoe_last_error()).find("VKMOE_GPU_TIMEOUT=1O"), std::string::npos)
        << vkmoe_last_error();
    EXPECT_EQ(model, nullptr);
}

INSTANTIATE_TEST_SUITE_P(Ways, CApiFaults, testing::ValuesIn(kWays),
                         [](const testing::TestParamInfo<Way>& way) { return way.param.name; });

}  // namespace
