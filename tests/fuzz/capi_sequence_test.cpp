// Random sequences of C API calls, many of them wrong, over models that are resident or paged, while the
// device refuses memory, submissions and waits, and is lost. No call crashes, hangs or reports a mistake of
// the library's own; a call that fails changes nothing; sessions compute what a new one computes that is fed
// the same. Runs for VKMOE_CAPI_SECONDS; 20 s without it. VKMOE_CAPI_SEED repeats a run.

#include "base/faults.h"
#include "long_form.h"
#include "model/paged_memory.h"
#include "vkmoe/vkmoe.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace {

const char* const kModel = VKMOE_SOURCE_DIR "/samples/models/babel-moe-14m-f16.gguf";
constexpr uint32_t kVocabulary = 4096;
constexpr uint32_t kLayers = 4;
constexpr uint32_t kExperts = 16;
constexpr size_t kMostModels = 3;
constexpr size_t kMostSessions = 4;

/// Feeds and truncations, from an empty session on.
struct Step {
    std::vector<int32_t> fed;
    uint32_t kept = 0;  // where nothing is fed: the tokens that stay
};

struct LoadedModel {
    vkmoe_model* handle = nullptr;  // null once it was freed
    bool is_lost = false;
    bool is_tight = false;  // sessions may be refused
    size_t n_sessions = 0;
};

struct OpenSession {
    vkmoe_session* handle = nullptr;
    std::shared_ptr<LoadedModel> model;
    vkmoe_session_params params{};
    uint32_t n_context = 0;
    std::vector<int32_t> history;
    std::vector<Step> steps;
    bool has_logits = false;
};

class Player {
  public:
    explicit Player(uint32_t seed) : random_(seed) {}
    ~Player() {
        vkmoe::set_faults("");
        while (!sessions_.empty()) free_session();
        for (const auto& model : models_) vkmoe_model_free(model->handle);
    }

    void play() {
        fault_ = {};
        if (chance(0.15)) set_fault();
        call_ = "";
        choose();
        vkmoe::set_faults("");
        for (const OpenSession& session : sessions_) {
            ASSERT_EQ(vkmoe_session_position(session.handle), session.history.size()) << "after " << call_;
        }
        ++n_calls_;
        if (chance(0.02) && !sessions_.empty()) check_logits();
    }

    uint64_t n_calls() const { return n_calls_; }
    uint64_t n_checks() const { return n_checks_; }
    const std::map<std::string, std::map<vkmoe_status, uint64_t>>& seen() const { return seen_; }

  private:
    bool chance(double p) { return std::uniform_real_distribution<double>()(random_) < p; }
    uint32_t below(uint32_t n) { return std::uniform_int_distribution<uint32_t>(0, n - 1)(random_); }
    template <typename T>
    const T& one_of(const std::vector<T>& of) {
        return of[below(static_cast<uint32_t>(of.size()))];
    }

    void set_fault() {
        static const std::vector<std::string> kPoints = {"submit", "wait", "device_allocation",
                                                         "host_pinning", "disk_read"};
        fault_ = chance(0.05) ? "device_lost" : one_of(kPoints);
        vkmoe::set_faults(fmt::format("{}:at={}:times=1", fault_, 1 + below(8)));
    }

    /// Notes what a call returned. is_valid: it may only fail by a fault or for want of memory.
    void note(const char* call, vkmoe_status status, bool is_valid, LoadedModel* model = nullptr) {
        call_ = call;
        ++seen_[call][status];
        const std::string message = vkmoe_last_error();
        SCOPED_TRACE(
            fmt::format("{}: {} ({}), fault '{}'", call, vkmoe_status_name(status), message, fault_));
        EXPECT_NE(status, VKMOE_INTERNAL);
        if (status != VKMOE_OK) {
            EXPECT_FALSE(message.empty());
            EXPECT_EQ(message.find('\n'), std::string::npos);
        }
        // After a refusal the budget is smaller.
        if (model != nullptr && fault_ == "device_allocation") model->is_tight = true;
        if (!is_valid && status == VKMOE_INVALID_ARGUMENT) return;
        EXPECT_TRUE(is_valid || !fault_.empty() || (model != nullptr && model->is_lost))
            << "it has no meaning";
        if (status == VKMOE_OK) return;
        if (model != nullptr && (model->is_lost || fault_ == "device_lost")) {
            EXPECT_EQ(status, VKMOE_DEVICE_LOST);
            model->is_lost = true;
            return;
        }
        EXPECT_TRUE(!fault_.empty() || (model != nullptr && model->is_tight)) << "a valid call failed";
        EXPECT_TRUE(status == VKMOE_OUT_OF_MEMORY || (fault_ == "disk_read" && status == VKMOE_IO) ||
                    (fault_ == "device_lost" && status == VKMOE_DEVICE_LOST) ||
                    (fault_ == "host_pinning" && status == VKMOE_UNSUPPORTED));
    }

    void choose() {
        const uint32_t n = below(100);
        if (models_.empty() || n < 2) return load();
        if (n < 3) return free_model();
        if (n < 12 || sessions_.empty()) return create();
        if (n < 17) return free_session();
        if (n < 50) return feed();
        if (n < 60) return truncate();
        if (n < 70) return generate();
        if (n < 75) return logits();
        if (n < 90) return statistics();
        return text();
    }

    void load() {
        if (models_.size() == kMostModels) return free_model();
        vkmoe_session_params session;
        vkmoe_session_default_params(&session, sizeof session);
        session.n_context = 64;
        session.n_micro_batch = 16;
        vkmoe_model_params params;
        vkmoe_model_default_params(&params, sizeof params);
        params.session = &session;
        params.pager = static_cast<vkmoe_pager>(below(3));
        params.prefetch = static_cast<vkmoe_prefetch>(below(3));
        auto model = std::make_shared<LoadedModel>();
        bool is_valid = true;
        if (params.pager != VKMOE_PAGER_AUTO && chance(0.8)) {
            params.vram_budget = paged_budget(params.pager);
            model->is_tight = true;
        }
        const char* path = kModel;
        switch (below(12)) {
            case 0:
                is_valid = false;
                path = nullptr;
                break;
            case 1:
                is_valid = false;
                params.struct_size = below(sizeof(uint64_t) * 3);
                break;
            case 2:
                is_valid = false;
                session.struct_size = 3;
                break;
            case 3: {
                is_valid = false;
                const int none = 3 + static_cast<int>(below(5));
                std::memcpy(&params.pager, &none, sizeof none);
                break;
            }
            case 4:
                params.vram_budget = 1 + below(1 << 20);  // too little for the weights
                model->is_tight = true;
                break;
            default:
                break;
        }
        const vkmoe_status status = vkmoe_model_load(path, &params, &model->handle);
        note("vkmoe_model_load", status, is_valid, model.get());
        EXPECT_EQ(model->handle == nullptr, status != VKMOE_OK);
        if (model->handle != nullptr) models_.push_back(model);
    }

    /// Of the models, sessions are left behind at times.
    void free_model() {
        const size_t at = below(static_cast<uint32_t>(models_.size()));
        vkmoe_model_free(std::exchange(models_[at]->handle, nullptr));
        models_.erase(models_.begin() + static_cast<std::ptrdiff_t>(at));
    }

    void create() {
        if (sessions_.size() == kMostSessions) return free_session();
        const std::shared_ptr<LoadedModel> model = one_of(models_);
        OpenSession session;
        session.model = model;
        vkmoe_session_default_params(&session.params, sizeof session.params);
        session.params.n_context = 1 + below(80);
        session.params.n_micro_batch = 1 + below(40);
        session.params.kv_type = static_cast<vkmoe_kv_type>(below(3));
        session.params.router_statistics = chance(0.3);
        session.params.profile = chance(0.1);
        session.n_context = session.params.n_context;
        bool is_valid = true;
        vkmoe_model* handle = model->handle;
        switch (below(16)) {
            case 0:
                is_valid = false;
                session.params.n_context = (1u << 30) + 1 + below(100);
                break;
            case 1: {
                is_valid = false;
                const int none = 3 + static_cast<int>(below(1000));
                std::memcpy(&session.params.kv_type, &none, sizeof none);
                break;
            }
            case 2:
                is_valid = false;
                // Smaller than the struct's first version, which ended before this member.
                session.params.struct_size = below(offsetof(vkmoe_session_params, allow_nonfinite));
                break;
            case 3:
                is_valid = false;
                handle = nullptr;
                break;
            default:
                break;
        }
        const vkmoe_status status = vkmoe_session_create(handle, &session.params, &session.handle);
        note("vkmoe_session_create", status, is_valid, model.get());
        EXPECT_EQ(session.handle == nullptr, status != VKMOE_OK);
        if (session.handle == nullptr) return;
        EXPECT_EQ(vkmoe_session_position(session.handle), 0U);
        sessions_.push_back(std::move(session));
    }

    void free_session() {
        const size_t at = below(static_cast<uint32_t>(sessions_.size()));
        vkmoe_session_free(sessions_[at].handle);
        sessions_.erase(sessions_.begin() + static_cast<std::ptrdiff_t>(at));
    }

    OpenSession& some_session() { return sessions_[below(static_cast<uint32_t>(sessions_.size()))]; }

    void feed() {
        OpenSession& session = some_session();
        const auto room = session.n_context - static_cast<uint32_t>(session.history.size());
        std::vector<int32_t> tokens(chance(0.5) ? 1 : below(30));
        for (int32_t& token : tokens) token = static_cast<int32_t>(below(kVocabulary));
        bool is_valid = tokens.size() <= room;
        if (!tokens.empty() && chance(0.08)) {
            static const std::vector<int32_t> kBad = {-1, kVocabulary, INT32_MIN, INT32_MAX};
            tokens[below(static_cast<uint32_t>(tokens.size()))] = one_of(kBad);
            is_valid = false;
        }
        // Beyond what is promised nothing may be written.
        constexpr float kUntouched = -12345;
        std::vector<float> logits;
        if (chance(0.2)) logits.assign(tokens.size() * kVocabulary + 1, kUntouched);
        const vkmoe_status status = vkmoe_session_feed(session.handle, tokens.data(), tokens.size(),
                                                       logits.empty() ? nullptr : logits.data());
        note("vkmoe_session_feed", status, is_valid, session.model.get());
        if (!logits.empty()) {
            EXPECT_EQ(logits.back(), kUntouched);
        }
        if (status != VKMOE_OK || tokens.empty()) return;
        session.history.insert(session.history.end(), tokens.begin(), tokens.end());
        session.steps.push_back({.fed = std::move(tokens)});
        session.has_logits = true;
    }

    void truncate() {
        OpenSession& session = some_session();
        const uint32_t kept = chance(0.2) ? 0 : below(static_cast<uint32_t>(session.history.size()) + 3);
        const vkmoe_status status = vkmoe_session_truncate(session.handle, kept);
        note("vkmoe_session_truncate", status, kept <= session.history.size());
        if (status != VKMOE_OK) return;
        session.history.resize(kept);
        if (kept == 0) session.steps.clear();
        session.steps.push_back({.kept = kept});
        note_logits(session);
    }

    struct Heard {
        std::vector<int32_t> tokens;
        size_t most = 0;
    };

    void generate() {
        OpenSession& session = some_session();
        vkmoe_sampling sampling;
        vkmoe_sampling_default(&sampling, sizeof sampling);
        sampling.temperature = chance(0.5) ? 0 : 0.9f;
        sampling.seed = below(100);
        sampling.repetition_penalty = chance(0.3) ? 1.2f : 1;
        sampling.ignore_end = chance(0.5);
        bool is_valid = session.has_logits;
        if (chance(0.1)) {
            is_valid = false;
            switch (below(3)) {
                case 0:
                    sampling.top_p = -1;
                    break;
                case 1:
                    sampling.temperature = -1;
                    break;
                default:
                    sampling.struct_size = 5;
                    break;
            }
        }
        const uint32_t n = 1 + below(6);
        Heard heard{.tokens = {}, .most = 1 + below(8)};
        const auto hear = [](int32_t token, const char* text, size_t n_bytes, void* user) {
            auto& so_far = *static_cast<Heard*>(user);
            EXPECT_TRUE(n_bytes == 0 || text != nullptr);
            if (token >= 0) so_far.tokens.push_back(token);
            return so_far.tokens.size() < so_far.most;
        };
        const vkmoe_status status = vkmoe_session_generate(session.handle, &sampling, n, hear, &heard);
        if (status == VKMOE_CANCELLED) {
            EXPECT_EQ(heard.tokens.size(), heard.most);
        } else {
            note("vkmoe_session_generate", status, is_valid, session.model.get());
        }
        const size_t n_fed = vkmoe_session_position(session.handle) - session.history.size();
        ASSERT_LE(n_fed, heard.tokens.size());
        for (size_t i = 0; i < n_fed; ++i) {
            session.history.push_back(heard.tokens[i]);
            session.steps.push_back({.fed = {heard.tokens[i]}});
        }
        note_logits(session);
        if (status == VKMOE_OK) {
            EXPECT_TRUE(session.has_logits);
        }
    }

    static void note_logits(OpenSession& session) {
        const float* logits = nullptr;
        session.has_logits = vkmoe_session_logits(session.handle, &logits) == VKMOE_OK;
        EXPECT_EQ(logits != nullptr, session.has_logits);
    }

    void logits() {
        OpenSession& session = some_session();
        const float* logits = nullptr;
        const vkmoe_status status = vkmoe_session_logits(session.handle, &logits);
        note("vkmoe_session_logits", status, session.has_logits);
        EXPECT_EQ(logits == nullptr, status != VKMOE_OK);
    }

    template <typename Struct>
    static Struct of_size(size_t size) {
        Struct made{};
        made.struct_size = size;
        return made;
    }

    void statistics() {
        OpenSession& session = some_session();
        LoadedModel* model = session.model.get();
        const bool has_size = chance(0.9);
        switch (below(6)) {
            case 0: {
                auto stats = of_size<vkmoe_session_stats>(has_size ? sizeof(vkmoe_session_stats) : 4);
                note("vkmoe_session_get_stats", vkmoe_session_get_stats(session.handle, &stats), has_size);
                break;
            }
            case 1: {
                auto stats = of_size<vkmoe_pager_stats>(has_size ? sizeof(vkmoe_pager_stats) : 4);
                note("vkmoe_session_pager_stats", vkmoe_session_pager_stats(session.handle, &stats), has_size,
                     model);
                break;
            }
            case 2: {
                std::vector<uint64_t> counts(has_size ? kLayers * kExperts : below(kLayers * kExperts));
                note("vkmoe_session_expert_counts",
                     vkmoe_session_expert_counts(session.handle, counts.data(), counts.size()), has_size,
                     model);
                break;
            }
            case 3: {
                auto statistics = of_size<vkmoe_router_statistics>(sizeof(vkmoe_router_statistics));
                const uint32_t layer = below(kLayers + 1);
                note("vkmoe_session_router_statistics",
                     vkmoe_session_router_statistics(session.handle, layer, &statistics),
                     session.params.router_statistics && layer < kLayers, model);
                break;
            }
            case 4:
                EXPECT_TRUE(session.params.profile || *vkmoe_session_profile(session.handle) == '\0');
                break;
            default: {
                if (session.model->handle == nullptr) break;
                auto info = of_size<vkmoe_model_info>(has_size ? sizeof(vkmoe_model_info) : 4);
                note("vkmoe_model_get_info", vkmoe_model_get_info(session.model->handle, &info), has_size);
                break;
            }
        }
    }

    void text() {
        const vkmoe_model* model = one_of(models_)->handle;
        if (chance(0.3)) {
            const int32_t token = static_cast<int32_t>(below(kVocabulary + 50)) - 20;
            const char* bytes = nullptr;
            size_t n = 0;
            const bool is_valid = token >= 0 && token < static_cast<int32_t>(kVocabulary);
            note("vkmoe_token_bytes", vkmoe_token_bytes(model, token, &bytes, &n), is_valid);
            vkmoe_token_is_end(model, token);
            return;
        }
        std::string bytes(below(60), '\0');
        for (char& byte : bytes)
            byte = static_cast<char>(chance(0.7) ? 'a' + static_cast<int>(below(26))
                                                 : static_cast<int>(below(256)));
        std::vector<int32_t> tokens(chance(0.2) ? below(10) : 200);
        size_t n = 0;
        const vkmoe_status status =
            vkmoe_tokenize(model, bytes.data(), bytes.size(), below(4), tokens.data(), tokens.size(), &n);
        note("vkmoe_tokenize", status, n <= tokens.size());
        if (status != VKMOE_OK) return;
        for (size_t i = 0; i < n; ++i) EXPECT_LT(static_cast<uint32_t>(tokens[i]), kVocabulary);
    }

    /// A session's logits are those of a new one on a resident model that is fed the same.
    void check_logits() {
        const OpenSession& session = some_session();
        const float* logits = nullptr;
        if (!session.has_logits || vkmoe_session_logits(session.handle, &logits) != VKMOE_OK) return;
        vkmoe_session_params params = session.params;
        params.profile = false;
        vkmoe_session* fresh = nullptr;
        ASSERT_EQ(vkmoe_session_create(reference(), &params, &fresh), VKMOE_OK) << vkmoe_last_error();
        for (const Step& step : session.steps) {
            if (step.fed.empty()) {
                EXPECT_EQ(vkmoe_session_truncate(fresh, step.kept), VKMOE_OK);
            } else {
                EXPECT_EQ(vkmoe_session_feed(fresh, step.fed.data(), step.fed.size(), nullptr), VKMOE_OK)
                    << vkmoe_last_error();
            }
        }
        const float* expected = nullptr;
        if (vkmoe_session_logits(fresh, &expected) == VKMOE_OK) {
            EXPECT_EQ(std::memcmp(logits, expected, kVocabulary * sizeof(float)), 0)
                << "other logits after " << session.history.size() << " tokens, " << session.steps.size()
                << " steps";
            ++n_checks_;
        }
        vkmoe_session_free(fresh);
    }

    static vkmoe_model* reference() {
        static const std::unique_ptr<vkmoe_model, void (*)(vkmoe_model*)> model = [] {
            vkmoe_model* loaded = nullptr;
            EXPECT_EQ(vkmoe_model_load(kModel, nullptr, &loaded), VKMOE_OK) << vkmoe_last_error();
            return std::unique_ptr<vkmoe_model, void (*)(vkmoe_model*)>(loaded, vkmoe_model_free);
        }();
        return model.get();
    }

    /// Room for about two sessions, and slots for a third of the experts.
    static uint64_t paged_budget(vkmoe_pager pager) {
        static std::map<vkmoe_pager, uint64_t> budgets;
        uint64_t& budget = budgets[pager];
        if (budget != 0) return budget;
        vkmoe::set_faults("");
        const auto model = vkmoe::Model::load(kModel, {.pager = static_cast<vkmoe::PagerMode>(pager)});
        const vkmoe::SessionParams params{.n_context = 80, .n_micro_batch = 40, .router_statistics = true};
        budget = vkmoe::vram_budget(*model, params, vkmoe::all_slots(*model) / 3) +
                 vkmoe::measure_session(*model, vkmoe::session_shape(*model, params)).bytes();
        return budget;
    }

    std::mt19937 random_;
    std::vector<std::shared_ptr<LoadedModel>> models_;
    std::vector<OpenSession> sessions_;
    std::string fault_;  // the point of the call's plan; empty: none
    std::string call_;
    uint64_t n_calls_ = 0;
    uint64_t n_checks_ = 0;
    std::map<std::string, std::map<vkmoe_status, uint64_t>> seen_;
};

TEST(CApiSequence, RandomCallsAndFaults) {
    const char* given = std::getenv("VKMOE_CAPI_SEED");
    const uint32_t seed =
        given != nullptr ? static_cast<uint32_t>(std::strtoul(given, nullptr, 10)) : std::random_device{}();
    SCOPED_TRACE(fmt::format("VKMOE_CAPI_SEED={}", seed));
    fmt::print("VKMOE_CAPI_SEED={}\n", seed);
    const std::chrono::duration<double> limit(vkmoe::test_seconds("VKMOE_CAPI_SECONDS", 20));
    const auto end = std::chrono::steady_clock::now() + limit;
    Player player(seed);
    // Slow builds make only some dozens of calls in the short form; a comparison comes sooner or later.
    while ((std::chrono::steady_clock::now() < end || player.n_checks() == 0) && !HasFailure()) player.play();
    fmt::print("{} calls, {} comparisons of logits\n", player.n_calls(), player.n_checks());
    for (const auto& [call, statuses] : player.seen()) {
        fmt::print("  {}:", call);
        for (const auto& [status, n] : statuses) fmt::print(" {} {}", n, vkmoe_status_name(status));
        fmt::print("\n");
    }
}

}  // namespace
