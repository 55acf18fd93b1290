#include "vkmoe/vkmoe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

namespace {

const char* const kModel = VKMOE_SOURCE_DIR "/samples/models/babel-moe-14m-f16.gguf";

/// The bundled model, loaded once, and a session of its own for each test.
class CApi : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        ASSERT_EQ(vkmoe_model_load(kModel, nullptr, &model_), VKMOE_OK) << vkmoe_last_error();
    }
    static void TearDownTestSuite() {
        vkmoe_model_free(model_);
        model_ = nullptr;
    }

    void SetUp() override {
        vkmoe_session_params params;
        vkmoe_session_default_params(&params, sizeof params);
        params.n_context = 64;
        params.kv_type = VKMOE_KV_F32;
        ASSERT_EQ(vkmoe_session_create(model_, &params, &session_), VKMOE_OK) << vkmoe_last_error();
    }
    void TearDown() override { vkmoe_session_free(session_); }

    static std::vector<int32_t> tokenize(const std::string& text) {
        std::vector<int32_t> tokens(text.size() + 1);
        size_t n = 0;
        EXPECT_EQ(vkmoe_tokenize(model_, text.data(), text.size(), 0, tokens.data(), tokens.size(), &n),
                  VKMOE_OK);
        tokens.resize(n);
        return tokens;
    }

    void feed(const std::vector<int32_t>& tokens) {
        ASSERT_EQ(vkmoe_session_feed(session_, tokens.data(), tokens.size(), nullptr), VKMOE_OK)
            << vkmoe_last_error();
    }

    static vkmoe_model* model_;
    vkmoe_session* session_ = nullptr;
};

vkmoe_model* CApi::model_ = nullptr;

struct Heard {
    std::vector<int32_t> tokens;
    std::string text;
    size_t stop_after = std::numeric_limits<size_t>::max();
};

bool hear(int32_t token, const char* text, size_t n_bytes, void* user) {
    auto& heard = *static_cast<Heard*>(user);
    heard.tokens.push_back(token);
    heard.text.append(text, n_bytes);
    return heard.tokens.size() < heard.stop_after;
}

vkmoe_sampling greedy() {
    vkmoe_sampling sampling;
    vkmoe_sampling_default(&sampling, sizeof sampling);
    sampling.temperature = 0;
    sampling.ignore_end = true;
    return sampling;
}

#define EXPECT_REFUSED(call, word)                                                                      \
    do {                                                                                                \
        EXPECT_EQ(call, VKMOE_INVALID_ARGUMENT);                                                        \
        EXPECT_NE(std::string(vkmoe_last_error()).find(word), std::string::npos) << vkmoe_last_error(); \
    } while (false)

TEST(CApiWithoutModel, NullsAreRefused) {
    vkmoe_model* model = nullptr;
    EXPECT_REFUSED(vkmoe_model_load(nullptr, nullptr, &model), "path is NULL");
    EXPECT_REFUSED(vkmoe_model_load(kModel, nullptr, nullptr), "model is NULL");
    vkmoe_model_info info{};
    info.struct_size = sizeof info;
    EXPECT_REFUSED(vkmoe_model_get_info(nullptr, &info), "model is NULL");
    size_t n = 7;
    EXPECT_REFUSED(vkmoe_tokenize(nullptr, "a", 1, 0, nullptr, 0, &n), "model is NULL");
    EXPECT_EQ(n, 0U);
    const char* bytes = nullptr;
    EXPECT_REFUSED(vkmoe_token_bytes(nullptr, 0, &bytes, &n), "model is NULL");
    EXPECT_STREQ(bytes, "");
    EXPECT_FALSE(vkmoe_token_is_end(nullptr, 0));
    vkmoe_session* session = nullptr;
    EXPECT_REFUSED(vkmoe_session_create(nullptr, nullptr, &session), "model is NULL");
    EXPECT_REFUSED(vkmoe_session_feed(nullptr, nullptr, 0, nullptr), "session is NULL");
    const float* logits = nullptr;
    EXPECT_REFUSED(vkmoe_session_logits(nullptr, &logits), "session is NULL");
    EXPECT_EQ(vkmoe_session_position(nullptr), 0U);
    EXPECT_REFUSED(vkmoe_session_truncate(nullptr, 0), "session is NULL");
    EXPECT_REFUSED(vkmoe_session_generate(nullptr, nullptr, 1, hear, nullptr), "session is NULL");
    EXPECT_REFUSED(vkmoe_session_expert_counts(nullptr, nullptr, 0), "session is NULL");
    EXPECT_STREQ(vkmoe_session_profile(nullptr), "");
    vkmoe_model_free(nullptr);
    vkmoe_session_free(nullptr);
    vkmoe_model_default_params(nullptr, 0);
    vkmoe_session_default_params(nullptr, 0);
    vkmoe_sampling_default(nullptr, 0);
}

TEST(CApiWithoutModel, MissingFileNamesIt) {
    auto* model = reinterpret_cast<vkmoe_model*>(1);
    EXPECT_EQ(vkmoe_model_load("/no/such/model.gguf", nullptr, &model), VKMOE_IO);
    EXPECT_EQ(model, nullptr);
    EXPECT_NE(std::strstr(vkmoe_last_error(), "/no/such/model.gguf"), nullptr) << vkmoe_last_error();
    EXPECT_EQ(std::strchr(vkmoe_last_error(), '\n'), nullptr);
}

TEST(CApiWithoutModel, StructSizesAreChecked) {
    vkmoe_model* model = nullptr;
    vkmoe_model_params params{};
    EXPECT_REFUSED(vkmoe_model_load(kModel, &params, &model), "struct_size is 0");

    struct {
        vkmoe_model_params known;
        uint64_t newer;
    } longer{};
    vkmoe_model_default_params(&longer.known, sizeof longer.known);
    longer.known.struct_size = sizeof longer;
    EXPECT_EQ(vkmoe_model_load("/no/such/model.gguf", &longer.known, &model), VKMOE_IO)
        << "an unset newer field is fine";
    longer.newer = 1;
    EXPECT_REFUSED(vkmoe_model_load("/no/such/model.gguf", &longer.known, &model), "older than vkmoe.h");
}

TEST(CApiWithoutModel, DefaultsStayInsideTheCallersStruct) {
    struct {
        vkmoe_sampling known;
        uint64_t newer;
    } longer{};
    longer.newer = 1;
    vkmoe_sampling_default(&longer.known, sizeof longer);
    EXPECT_EQ(longer.known.struct_size, sizeof longer);
    EXPECT_EQ(longer.newer, 0U);

    const size_t old_size = offsetof(vkmoe_sampling, seed);
    vkmoe_sampling older;
    older.seed = 7;
    vkmoe_sampling_default(&older, old_size);
    EXPECT_EQ(older.struct_size, old_size);
    EXPECT_EQ(older.top_k, longer.known.top_k);
    EXPECT_EQ(older.seed, 7U) << "written past the end of an older header's struct";
}

TEST(CApiWithoutModel, ErrorsBelongToTheirThread) {
    vkmoe_model* model = nullptr;
    vkmoe_model_load(nullptr, nullptr, &model);
    std::string other = "unset";
    std::thread([&other] { other = vkmoe_last_error(); }).join();
    EXPECT_EQ(other, "");
    EXPECT_STRNE(vkmoe_last_error(), "");
}

TEST(CApiWithoutModel, NamesAreThere) {
    EXPECT_STREQ(vkmoe_status_name(VKMOE_OK), "ok");
    EXPECT_STREQ(vkmoe_status_name(VKMOE_CANCELLED), "cancelled");
    EXPECT_STREQ(vkmoe_status_name(VKMOE_RESOURCE_LIMIT), "resource limit");
    EXPECT_STRNE(vkmoe_version(), "");
}

TEST_F(CApi, LoadingCanBeGivenUp) {
    vkmoe_model_params params;
    vkmoe_model_default_params(&params, sizeof params);
    params.progress = [](float, void*) { return false; };
    vkmoe_model* model = nullptr;
    EXPECT_EQ(vkmoe_model_load(kModel, &params, &model), VKMOE_CANCELLED);
    EXPECT_EQ(model, nullptr);
}

TEST_F(CApi, InfoTellsTheShape) {
    vkmoe_model_info info{};
    EXPECT_REFUSED(vkmoe_model_get_info(model_, &info), "struct_size");
    info.struct_size = sizeof info;
    ASSERT_EQ(vkmoe_model_get_info(model_, &info), VKMOE_OK);
    EXPECT_STREQ(info.architecture, "qwen3moe");
    EXPECT_EQ(info.n_layers, 4U);
    EXPECT_EQ(info.n_experts, 16U);
    EXPECT_EQ(info.n_experts_used, 2U);
    EXPECT_EQ(info.n_vocabulary, 4096U);
    EXPECT_EQ(info.n_embedding, 256U);
    EXPECT_GT(info.n_parameters, 14000000U);
    EXPECT_GT(info.weight_bytes, info.n_parameters);
}

TEST_F(CApi, InfoTellsWhoPagesExperts) {
    vkmoe_model_info info{};
    info.struct_size = sizeof info;
    ASSERT_EQ(vkmoe_model_get_info(model_, &info), VKMOE_OK);
    EXPECT_STREQ(info.pager, "");

    for (const vkmoe_pager pager : {VKMOE_PAGER_DEVICE, VKMOE_PAGER_HOST}) {
        vkmoe_model_params params;
        vkmoe_model_default_params(&params, sizeof params);
        params.pager = pager;
        params.prefetch = VKMOE_PREFETCH_ON;
        vkmoe_model* model = nullptr;
        ASSERT_EQ(vkmoe_model_load(kModel, &params, &model), VKMOE_OK) << vkmoe_last_error();
        ASSERT_EQ(vkmoe_model_get_info(model, &info), VKMOE_OK);
        const std::string line = info.pager;
        const auto begins = [&](const std::string& who) {
            return line.starts_with("experts paged by the " + who + " (link: ");
        };
        EXPECT_TRUE(pager == VKMOE_PAGER_HOST
                        ? begins("host, copied by its threads") || begins("host, copied by a queue")
                        : begins("device"))
            << line;
        EXPECT_NE(line.find("round trip"), std::string::npos) << line;
        EXPECT_NE(line.find("all 64 in "), std::string::npos) << line;
        EXPECT_EQ(line.find('\n'), std::string::npos) << line;

        vkmoe_model_info older{};
        older.struct_size = offsetof(vkmoe_model_info, pager);
        EXPECT_EQ(vkmoe_model_get_info(model, &older), VKMOE_OK);
        EXPECT_EQ(older.pager, nullptr) << "written past the end of an older header's struct";
        vkmoe_model_free(model);
    }
}

TEST_F(CApi, PrefetchIsChecked) {
    vkmoe_model_params params;
    vkmoe_model_default_params(&params, sizeof params);
    const int unknown = 3;
    std::memcpy(&params.prefetch, &unknown, sizeof unknown);
    vkmoe_model* model = nullptr;
    EXPECT_REFUSED(vkmoe_model_load(kModel, &params, &model), "prefetch is 3");
}

TEST_F(CApi, KeysCanBeIgnored) {
    vkmoe_model_params params;
    vkmoe_model_default_params(&params, sizeof params);
    const std::array<const char*, 2> keys = {"general.name", "no.such.key"};
    params.ignored_keys = keys.data();
    params.n_ignored_keys = keys.size();
    vkmoe_model* model = nullptr;
    ASSERT_EQ(vkmoe_model_load(kModel, &params, &model), VKMOE_OK) << vkmoe_last_error();
    vkmoe_model_info info{};
    info.struct_size = sizeof info;
    ASSERT_EQ(vkmoe_model_get_info(model, &info), VKMOE_OK);
    EXPECT_STREQ(info.name, "");
    vkmoe_model_free(model);

    params.ignored_keys = nullptr;
    EXPECT_REFUSED(vkmoe_model_load(kModel, &params, &model), "ignored_keys is NULL");
}

TEST_F(CApi, TokenizeTellsTheCapacityItNeeds) {
    const std::string text = "The package is here";
    size_t needed = 0;
    EXPECT_REFUSED(vkmoe_tokenize(model_, text.data(), text.size(), 0, nullptr, 0, &needed), "capacity");
    ASSERT_GT(needed, 1U);
    std::vector<int32_t> tokens(needed, -7);
    EXPECT_REFUSED(vkmoe_tokenize(model_, text.data(), text.size(), 0, tokens.data(), needed - 1, &needed),
                   "capacity");
    EXPECT_EQ(tokens[needed - 1], -7) << "beyond the capacity nothing is written";
    ASSERT_EQ(vkmoe_tokenize(model_, text.data(), text.size(), 0, tokens.data(), needed, &needed), VKMOE_OK);
    std::string back;
    for (const int32_t token : tokens) {
        const char* bytes = nullptr;
        size_t n = 0;
        ASSERT_EQ(vkmoe_token_bytes(model_, token, &bytes, &n), VKMOE_OK);
        back.append(bytes, n);
    }
    EXPECT_EQ(back, text);
    EXPECT_REFUSED(vkmoe_tokenize(model_, nullptr, 1, 0, nullptr, 0, &needed), "text is NULL");
    EXPECT_REFUSED(vkmoe_tokenize(model_, "a", 1, 4, tokens.data(), needed, &needed), "flags");
    const char* bytes = nullptr;
    EXPECT_REFUSED(vkmoe_token_bytes(model_, 4096, &bytes, &needed), "4096");
}

TEST_F(CApi, BadTokensAndFullContextsComputeNothing) {
    const std::vector<int32_t> good(60, 5);
    feed(good);
    const std::vector<int32_t> bad = {1, 4096};
    EXPECT_REFUSED(vkmoe_session_feed(session_, bad.data(), bad.size(), nullptr), "4096");
    EXPECT_REFUSED(vkmoe_session_feed(session_, good.data(), 5, nullptr), "context");
    EXPECT_REFUSED(vkmoe_session_feed(session_, nullptr, 1, nullptr), "tokens is NULL");
    EXPECT_EQ(vkmoe_session_feed(session_, nullptr, 0, nullptr), VKMOE_OK);
    EXPECT_EQ(vkmoe_session_position(session_), 60U);
    feed({1, 2, 3, 4});
    EXPECT_EQ(vkmoe_session_position(session_), 64U);
}

TEST_F(CApi, SessionParametersAreChecked) {
    vkmoe_session_params params;
    vkmoe_session_default_params(&params, sizeof params);
    vkmoe_session* session = nullptr;
    const int unknown = 3;
    std::memcpy(&params.kv_type, &unknown, sizeof unknown);
    EXPECT_REFUSED(vkmoe_session_create(model_, &params, &session), "kv_type is 3");
    params.struct_size = 1;
    EXPECT_REFUSED(vkmoe_session_create(model_, &params, &session), "struct_size is 1");
    EXPECT_EQ(session, nullptr);
}

TEST_F(CApi, LogitsBeforeAnyTokenAreRefused) {
    const float* logits = nullptr;
    EXPECT_EQ(vkmoe_session_logits(session_, &logits), VKMOE_INVALID_ARGUMENT);
    EXPECT_EQ(logits, nullptr);
    Heard heard;
    EXPECT_EQ(vkmoe_session_generate(session_, nullptr, 1, hear, &heard), VKMOE_INVALID_ARGUMENT);
    EXPECT_TRUE(heard.tokens.empty());
}

TEST_F(CApi, GreedyTakesTheHighestLogitEachTime) {
    feed(tokenize("The package"));
    const uint32_t start = vkmoe_session_position(session_);
    const vkmoe_sampling sampling = greedy();
    Heard heard;
    ASSERT_EQ(vkmoe_session_generate(session_, &sampling, 12, hear, &heard), VKMOE_OK) << vkmoe_last_error();
    ASSERT_EQ(heard.tokens.size(), 13U);
    EXPECT_EQ(heard.tokens.back(), -1);
    EXPECT_EQ(vkmoe_session_position(session_), start + 12);

    // The same by hand, by the logits.
    ASSERT_EQ(vkmoe_session_truncate(session_, 0), VKMOE_OK);
    feed(tokenize("The package"));
    for (size_t i = 0; i < 12; ++i) {
        const float* logits = nullptr;
        ASSERT_EQ(vkmoe_session_logits(session_, &logits), VKMOE_OK);
        const auto token = static_cast<int32_t>(std::max_element(logits, logits + 4096) - logits);
        EXPECT_EQ(token, heard.tokens[i]) << "token " << i;
        feed({token});
    }
}

TEST_F(CApi, GenerationGoesOnWhereItStopped) {
    const vkmoe_sampling sampling = greedy();
    feed(tokenize("The package"));
    Heard whole;
    ASSERT_EQ(vkmoe_session_generate(session_, &sampling, 10, hear, &whole), VKMOE_OK);

    ASSERT_EQ(vkmoe_session_truncate(session_, 0), VKMOE_OK);
    feed(tokenize("The package"));
    Heard parts;
    ASSERT_EQ(vkmoe_session_generate(session_, &sampling, 4, hear, &parts), VKMOE_OK);
    parts.tokens.pop_back();
    parts.stop_after = 6;
    EXPECT_EQ(vkmoe_session_generate(session_, &sampling, 6, hear, &parts), VKMOE_CANCELLED)
        << "the callback stopped it";
    parts.stop_after = 99;
    ASSERT_EQ(vkmoe_session_generate(session_, &sampling, 4, hear, &parts), VKMOE_OK);
    EXPECT_EQ(parts.tokens, whole.tokens);
    EXPECT_EQ(parts.text, whole.text);
}

TEST_F(CApi, TheSameSeedGivesTheSameText) {
    vkmoe_sampling sampling;
    vkmoe_sampling_default(&sampling, sizeof sampling);
    sampling.temperature = 2;
    std::string text[3];
    for (const uint64_t seed : {0, 1, 2}) {
        ASSERT_EQ(vkmoe_session_truncate(session_, 0), VKMOE_OK);
        feed(tokenize("The package"));
        sampling.seed = seed / 2;  // 0, 0, 1
        Heard heard;
        ASSERT_EQ(vkmoe_session_generate(session_, &sampling, 20, hear, &heard), VKMOE_OK);
        text[seed] = heard.text;
    }
    EXPECT_EQ(text[0], text[1]);
    EXPECT_NE(text[0], text[2]);
}

TEST_F(CApi, GenerationEndsAtTheContext) {
    feed(std::vector<int32_t>(62, 5));
    const vkmoe_sampling sampling = greedy();
    Heard heard;
    EXPECT_EQ(vkmoe_session_generate(session_, &sampling, 100, hear, &heard), VKMOE_OK);
    EXPECT_EQ(heard.tokens.size(), 3U) << "two tokens and the end";
    EXPECT_EQ(vkmoe_session_position(session_), 64U);
    EXPECT_EQ(vkmoe_session_generate(session_, &sampling, 1, hear, &heard), VKMOE_OK);
    EXPECT_EQ(vkmoe_session_position(session_), 64U);
}

TEST_F(CApi, SamplingIsChecked) {
    feed({5});
    vkmoe_sampling sampling = greedy();
    Heard heard;
    EXPECT_REFUSED(vkmoe_session_generate(session_, &sampling, 1, nullptr, nullptr), "callback is NULL");
    sampling.top_p = 0;
    EXPECT_REFUSED(vkmoe_session_generate(session_, &sampling, 1, hear, &heard), "top_p");
    sampling.struct_size = 0;
    EXPECT_REFUSED(vkmoe_session_generate(session_, &sampling, 1, hear, &heard), "struct_size");
    EXPECT_TRUE(heard.tokens.empty());
}

TEST_F(CApi, PagerStatisticsOfAResidentModelAreItsMemory) {
    feed(tokenize("The package"));
    vkmoe_pager_stats stats{};
    EXPECT_REFUSED(vkmoe_session_pager_stats(session_, &stats), "struct_size");
    EXPECT_REFUSED(vkmoe_session_pager_stats(nullptr, &stats), "session is NULL");
    stats.struct_size = sizeof stats;
    ASSERT_EQ(vkmoe_session_pager_stats(session_, &stats), VKMOE_OK);
    EXPECT_EQ(stats.mode, VKMOE_PAGER_AUTO);
    EXPECT_EQ(stats.hits + stats.misses + stats.n_slots, 0U);
    EXPECT_EQ(stats.hit_rate + stats.link_share + stats.stall_share, 0);
    EXPECT_EQ(stats.vram_budget, 0U);
    vkmoe_model_info info{};
    info.struct_size = sizeof info;
    ASSERT_EQ(vkmoe_model_get_info(model_, &info), VKMOE_OK);
    EXPECT_GT(stats.peak_device_bytes, info.weight_bytes);
    EXPECT_NE(std::string(info.driver), "");
}

TEST_F(CApi, StatisticsCountTokensAndRoutes) {
    feed(tokenize("The package is in the archive"));
    feed({5});
    vkmoe_session_stats stats{};
    EXPECT_REFUSED(vkmoe_session_get_stats(session_, &stats), "struct_size");
    stats.struct_size = sizeof stats;
    ASSERT_EQ(vkmoe_session_get_stats(session_, &stats), VKMOE_OK);
    const uint32_t n = vkmoe_session_position(session_);
    EXPECT_EQ(stats.prompt_tokens, n);
    EXPECT_EQ(stats.decoded_tokens, 0U);
    EXPECT_GT(stats.prompt_seconds, 0);
    EXPECT_EQ(stats.decode_seconds, 0);

    for (const float temperature : {0.0F, 1.0F}) {  // chosen on the device and on the host
        vkmoe_sampling sampling = greedy();
        sampling.temperature = temperature;
        const vkmoe_session_stats before = stats;
        Heard heard;
        ASSERT_EQ(vkmoe_session_generate(session_, &sampling, 3, hear, &heard), VKMOE_OK);
        ASSERT_EQ(vkmoe_session_get_stats(session_, &stats), VKMOE_OK);
        EXPECT_EQ(stats.prompt_tokens, n);
        EXPECT_EQ(stats.prompt_seconds, before.prompt_seconds);
        EXPECT_EQ(stats.decoded_tokens, before.decoded_tokens + 3);
        EXPECT_GT(stats.decode_seconds, before.decode_seconds);
    }
    // Keys and values of 4 layers, 2 heads of 64 float32, for at least 64 tokens.
    EXPECT_GE(stats.kv_bytes, 4ULL * 2 * 2 * 64 * 4 * 64);

    std::vector<uint64_t> counts(64);
    EXPECT_REFUSED(vkmoe_session_expert_counts(session_, counts.data(), 63), "capacity");
    EXPECT_REFUSED(vkmoe_session_expert_counts(session_, nullptr, 64), "counts is NULL");
    ASSERT_EQ(vkmoe_session_expert_counts(session_, counts.data(), 64), VKMOE_OK);
    for (size_t layer = 0; layer < 4; ++layer) {
        uint64_t routes = 0;
        for (size_t expert = 0; expert < 16; ++expert) routes += counts[layer * 16 + expert];
        EXPECT_EQ(routes, 2ULL * vkmoe_session_position(session_)) << "two a token in layer " << layer;
    }
    EXPECT_STREQ(vkmoe_session_profile(session_), "");
}

TEST_F(CApi, RouterStatisticsAreForSessionsThatKeepThem) {
    vkmoe_router_statistics statistics{};
    statistics.struct_size = sizeof statistics;
    EXPECT_REFUSED(vkmoe_session_router_statistics(nullptr, 0, &statistics), "session is NULL");
    EXPECT_REFUSED(vkmoe_session_router_statistics(session_, 0, &statistics), "router_statistics");

    vkmoe_session_params params;
    vkmoe_session_default_params(&params, sizeof params);
    params.n_context = 64;
    params.router_statistics = true;
    vkmoe_session* session = nullptr;
    ASSERT_EQ(vkmoe_session_create(model_, &params, &session), VKMOE_OK);
    const std::vector<int32_t> tokens = {5, 6, 7, 8, 9};
    ASSERT_EQ(vkmoe_session_feed(session, tokens.data(), tokens.size(), nullptr), VKMOE_OK);
    std::vector<uint64_t> counts(64);
    ASSERT_EQ(vkmoe_session_expert_counts(session, counts.data(), counts.size()), VKMOE_OK);
    for (uint32_t layer = 0; layer < 4; ++layer) {
        ASSERT_EQ(vkmoe_session_router_statistics(session, layer, &statistics), VKMOE_OK);
        EXPECT_EQ(statistics.n_tokens, 5U);
        double sum = 0;
        for (size_t expert = 0; expert < 16; ++expert) {
            EXPECT_EQ(statistics.counts[expert], counts[layer * 16 + expert]);
            sum += statistics.probabilities[expert];
        }
        EXPECT_NEAR(sum, 1, 1e-6);
        EXPECT_GT(statistics.auxiliary_loss, 0);
        EXPECT_GE(statistics.max_over_mean, 1);
        EXPECT_LE(statistics.entropy, 4);
    }
    EXPECT_REFUSED(vkmoe_session_router_statistics(session, 4, &statistics), "layer is 4");
    EXPECT_REFUSED(vkmoe_session_router_statistics(session, 0, nullptr), "statistics is NULL");
    statistics.struct_size = 0;
    EXPECT_REFUSED(vkmoe_session_router_statistics(session, 0, &statistics), "struct_size");
    vkmoe_session_free(session);
}

TEST_F(CApi, SessionsOutliveTheHandleOfTheirModel) {
    vkmoe_model* model = nullptr;
    ASSERT_EQ(vkmoe_model_load(kModel, nullptr, &model), VKMOE_OK);
    vkmoe_session_params params;
    vkmoe_session_default_params(&params, sizeof params);
    params.n_context = 8;
    params.profile = true;
    vkmoe_session* session = nullptr;
    ASSERT_EQ(vkmoe_session_create(model, &params, &session), VKMOE_OK) << vkmoe_last_error();
    vkmoe_model_free(model);
    const int32_t tokens[] = {1, 2, 3};
    EXPECT_EQ(vkmoe_session_feed(session, tokens, 3, nullptr), VKMOE_OK) << vkmoe_last_error();
    EXPECT_STRNE(vkmoe_session_profile(session), "");
    vkmoe_session_free(session);
}

}  // namespace
