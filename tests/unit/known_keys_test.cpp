// Metadata keys: which are read, which are refused, which are ignored with a word.

#include "model/known_keys.h"

#include "model/architecture.h"
#include "model/file_check.h"
#include "model/tiny_models.h"
#include "unit/error_matching.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <deque>
#include <limits>
#include <map>
#include <optional>

namespace vkmoe {
namespace {

using namespace std::string_literals;

constexpr std::array kArchitectures = {"llama", "qwen3moe", "olmoe"};

class KnownKeysTest : public testing::Test {
  protected:
    static TinyFile tiny(const std::string& architecture) {
        return make_tiny_file({.architecture = architecture,
                               .n_layers = 1,
                               .n_vocabulary = 257,
                               .n_embedding = 32,
                               .n_experts = 4,
                               .n_feed_forward = 32});
    }

    /// A small model with some keys set, by names without the architecture.
    GgufFile file(const std::string& architecture, const std::map<std::string, TinyValue>& keys) {
        if (!models_.contains(architecture)) models_[architecture] = tiny(architecture);
        TinyFile model = models_[architecture];
        for (const auto& [name, value] : keys) model.metadata[architecture + "." + name] = value;
        return read(model);
    }

    GgufFile read(const TinyFile& model) {
        return GgufFile("model.gguf", bytes_.emplace_back(model.writer().to_bytes()));
    }

    static HyperParameters hyper(const GgufFile& file) {
        return find_architecture(file).read_hyper_parameters(file);
    }

    static std::vector<std::string> warnings(const GgufFile& file) {
        return check_metadata(file, hyper(file));
    }

  private:
    std::map<std::string, TinyFile> models_;
    std::deque<std::vector<std::byte>> bytes_;  // that files view
};

TEST_F(KnownKeysTest, EverySpellingOfLinearRope) {
    using Factor = std::optional<float>;
    for (const std::string architecture : kArchitectures) {
        for (const char* type : {"", "none", "linear"}) {
            for (const Factor factor : {Factor(), Factor(0), Factor(4)}) {
                for (const Factor old_factor : {Factor(), Factor(0), Factor(4)}) {
                    std::map<std::string, TinyValue> keys;
                    if (*type != '\0') keys["rope.scaling.type"] = std::string(type);
                    if (factor) keys["rope.scaling.factor"] = *factor;
                    if (old_factor) keys["rope.scale_linear"] = *old_factor;
                    const bool is_scaled =
                        type != "none"s && (factor ? *factor == 4 : old_factor.value_or(0) == 4);
                    const GgufFile model = file(architecture, keys);
                    SCOPED_TRACE(fmt::format("{} type '{}' factor {} scale_linear {}", architecture, type,
                                             factor.value_or(-1), old_factor.value_or(-1)));
                    EXPECT_EQ(hyper(model).rope_scale, is_scaled ? 0.25F : 1.0F);
                    EXPECT_TRUE(warnings(model).empty());
                }
            }
        }
    }
}

TEST_F(KnownKeysTest, RopeThatIsNotComputed) {
    for (const std::string type : {"yarn", "longrope"}) {
        const GgufFile stretched =
            file("qwen3moe", {{"rope.scaling.type", type}, {"rope.scaling.factor", 4.0F}});
        expect_error(ErrorCode::kUnsupported,
                     {"model.gguf", "qwen3moe.rope.scaling.type", type, "would change the result"},
                     [&] { hyper(stretched); });
        // Nothing is stretched: llama.cpp's logits are those without the keys.
        for (const float factor : {0.0F, 1.0F}) {
            const GgufFile neutral =
                file("qwen3moe", {{"rope.scaling.type", type}, {"rope.scaling.factor", factor}});
            EXPECT_EQ(hyper(neutral).rope_scale, 1.0F);
        }
    }
    const GgufFile unknown = file("llama", {{"rope.scaling.type", "dynamic"s}});
    expect_error(ErrorCode::kUnsupported, {"rope.scaling.type", "dynamic"}, [&] { hyper(unknown); });
}

TEST_F(KnownKeysTest, RopeNumbersThatAreNone) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float infinity = std::numeric_limits<float>::infinity();
    for (const char* key : {"rope.scaling.factor", "rope.scale_linear"}) {
        for (const float value : {nan, infinity, -1.0F, 1e-45F}) {
            const GgufFile model = file("llama", {{key, value}});
            expect_error(ErrorCode::kBadFile, {"model.gguf", key}, [&] { hyper(model); });
            const GgufFile unscaled = file("llama", {{key, value}, {"rope.scaling.type", "none"s}});
            EXPECT_EQ(hyper(unscaled).rope_scale, 1.0F);
        }
    }
    for (const uint32_t dimensions : {0U, 31U, 34U}) {
        const GgufFile model = file("llama", {{"rope.dimension_count", dimensions}});
        expect_error(ErrorCode::kBadFile, {"llama.rope.dimension_count", fmt::format("is {}", dimensions)},
                     [&] { hyper(model); });
    }
}

TEST_F(KnownKeysTest, KeysThatWouldChangeTheResultAreRefused) {
    const std::vector<std::pair<std::string, TinyValue>> refused = {{"attention.causal", false},
                                                                    {"expert_group_count", uint32_t{2}},
                                                                    {"nextn_predict_layers", uint32_t{1}},
                                                                    {"rope.scaling.attn_factor", 0.0F},
                                                                    {"rope.scaling.attn_factor", 1.5F}};
    for (const std::string architecture : kArchitectures) {
        for (const auto& [name, value] : refused) {
            const std::string key = architecture + "." + name;
            SCOPED_TRACE(key);
            GgufFile model = file(architecture, {{name, value}});
            expect_error(
                ErrorCode::kUnsupported,
                {"model.gguf", key, "would change the result and is not supported", "--ignore-key " + key},
                [&] { warnings(model); });
            EXPECT_NE(check_file(model).refusal.find(key), std::string::npos);
            EXPECT_TRUE(model.drop(key));
            EXPECT_TRUE(warnings(model).empty());
        }
        const GgufFile groups = file(
            architecture, {{"expert_group_count", uint32_t{4}}, {"expert_group_used_count", uint32_t{2}}});
        expect_error(ErrorCode::kUnsupported, {"expert_group_count"}, [&] { warnings(groups); });
    }
}

TEST_F(KnownKeysTest, NeutralValuesPassInSilence) {
    const float usual_scale = 1 / std::sqrt(32.0F);
    const std::vector<std::map<std::string, TinyValue>> neutral = {
        {{"attention.causal", true}},
        {{"expert_group_count", uint32_t{0}}},
        {{"expert_group_count", uint32_t{1}}, {"expert_group_used_count", uint32_t{1}}},
        {{"expert_group_count", uint32_t{4}}, {"expert_group_used_count", uint32_t{4}}},
        {{"nextn_predict_layers", uint32_t{0}}},
        {{"rope.scaling.attn_factor", 1.0F}},
        {{"attention.sliding_window", uint32_t{128}}},
        {{"attention.sliding_window", uint32_t{0}}},
        {{"attention.scale", usual_scale}},
        {{"attn_logit_softcapping", 0.0F}},
        {{"expert_weights_scale", 0.0F}},
        {{"expert_weights_scale", 1.0F}},
        {{"logit_scale", 1.0F}},
        {{"use_parallel_residual", false}},
        {{"swiglu_clamp_exp", std::vector<float>{0, 0}}},
        {{"attention.sliding_window_pattern", std::vector<uint32_t>{}}},
        {{"vocab_size", uint32_t{7}}},
        {{"pooling_type", uint32_t{2}}}};
    for (const std::string architecture : kArchitectures) {
        for (const auto& keys : neutral) {
            SCOPED_TRACE(architecture + "." + keys.begin()->first);
            EXPECT_TRUE(warnings(file(architecture, keys)).empty());
        }
        const bool renormalizes = architecture != "olmoe";
        EXPECT_TRUE(warnings(file(architecture, {{"expert_weights_norm", renormalizes}})).empty());
        EXPECT_EQ(warnings(file(architecture, {{"expert_weights_norm", !renormalizes}})).size(), 1U);
    }
}

TEST_F(KnownKeysTest, KeysThatTheReferenceIgnoresAreNamedOnce) {
    const std::map<std::string, TinyValue> ignored = {{"attention.sliding_window", uint32_t{64}},
                                                      {"attention.scale", 0.5F},
                                                      {"attn_logit_softcapping", 50.0F},
                                                      {"final_logit_softcapping", 30.0F},
                                                      {"expert_weights_scale", 2.5F},
                                                      {"expert_gating_func", uint32_t{2}},
                                                      {"logit_scale", 0.5F},
                                                      {"swiglu_clamp_exp", std::vector<float>{7, 7}},
                                                      {"ssm.state_size", uint32_t{16}}};
    for (const std::string architecture : kArchitectures) {
        for (const auto& [name, value] : ignored) {
            SCOPED_TRACE(architecture + "." + name);
            const std::vector<std::string> lines = warnings(file(architecture, {{name, value}}));
            ASSERT_EQ(lines.size(), 1U);
            EXPECT_NE(lines[0].find(fmt::format("'{}.{}'", architecture, name)), std::string::npos);
            EXPECT_NE(lines[0].find("llama.cpp ignores it"), std::string::npos);
        }
    }
}

TEST_F(KnownKeysTest, UnknownKeysAreNamedInOneLine) {
    TinyFile model = tiny("llama");
    model.metadata["llama.attention.new_trick"] = 1.0F;
    EXPECT_EQ(warnings(read(model)),
              std::vector<std::string>{"unknown key 'llama.attention.new_trick' is ignored"});
    model.metadata["qwen3moe.block_count"] = uint32_t{1};  // of another architecture
    model.metadata["llamas.block_count"] = uint32_t{1};
    model.metadata["tokenizer.ggml.new_trick"] = true;
    const std::vector<std::string> lines = warnings(read(model));
    ASSERT_EQ(lines.size(), 1U);
    for (const char* key : {"'llama.attention.new_trick'", "'qwen3moe.block_count'", "'llamas.block_count'",
                            "'tokenizer.ggml.new_trick'"})
        EXPECT_NE(lines[0].find(key), std::string::npos) << lines[0];
}

TEST_F(KnownKeysTest, TransformedActivationsAreRefused) {
    TinyFile model = tiny("llama");
    model.metadata["prism.hadamard.block_size"] = uint32_t{128};
    const GgufFile transformed = read(model);
    expect_error(ErrorCode::kUnsupported, {"prism.hadamard.block_size", "would change the result"},
                 [&] { warnings(transformed); });
}

// The table says of a key that it is read if and only if a value of a wrong type is noticed.
TEST_F(KnownKeysTest, TheTableKnowsWhatIsRead) {
    for (const std::string architecture : kArchitectures) {
        for (const KnownKey& key : architecture_keys()) {
            if (key.name.ends_with('.') || key.name.ends_with('_')) continue;
            SCOPED_TRACE(fmt::format("{}.{}", architecture, key.name));
            const bool is_text = key.name == "rope.scaling.type";
            const TinyValue wrong = is_text ? TinyValue(uint32_t{7}) : TinyValue("text"s);
            const GgufFile model = file(architecture, {{std::string(key.name), wrong}});
            if (key.effect == KeyEffect::kRead) {
                EXPECT_THROW(hyper(model), Error);
            } else {
                EXPECT_NO_THROW(hyper(model));
            }
        }
    }
}

TEST_F(KnownKeysTest, NamesAreFoundByTheLongestPrefix) {
    EXPECT_EQ(find_key(architecture_keys(), "ssm.anything")->name, "ssm.");
    EXPECT_EQ(find_key(architecture_keys(), "attention.key_length")->effect, KeyEffect::kRead);
    EXPECT_EQ(find_key(architecture_keys(), "attention.key_length_more"), nullptr);
    EXPECT_EQ(find_key(general_keys(), "general.alignment")->effect, KeyEffect::kRead);
    EXPECT_EQ(find_key(general_keys(), "general.author")->effect, KeyEffect::kNone);
}

// Some writers give a number for each layer though all layers share it.
TEST_F(KnownKeysTest, ArraysOfEqualNumbersAreThatNumber) {
    for (const std::string architecture : kArchitectures) {
        const TinyFile model = tiny(architecture);
        const HyperParameters plain = hyper(read(model));
        for (const auto& [key, value] : model.metadata) {
            if (!key.starts_with(architecture + ".")) continue;
            SCOPED_TRACE(key);
            TinyFile listed = model;
            TinyFile unequal = model;
            if (const uint32_t* number = std::get_if<uint32_t>(&value)) {
                listed.metadata[key] = std::vector<uint32_t>{*number, *number};
                unequal.metadata[key] = std::vector<uint32_t>{*number, *number + 1};
            } else if (const float* real = std::get_if<float>(&value)) {
                listed.metadata[key] = std::vector<float>{*real, *real};
                unequal.metadata[key] = std::vector<float>{*real, *real / 2};
            } else {
                continue;
            }
            const GgufFile equal = read(listed);
            EXPECT_TRUE(warnings(equal).empty());
            const HyperParameters found = hyper(equal);
            EXPECT_EQ(found.n_heads, plain.n_heads);
            EXPECT_EQ(found.n_expert_feed_forward, plain.n_expert_feed_forward);
            EXPECT_EQ(found.norm_epsilon, plain.norm_epsilon);
            EXPECT_EQ(found.rope_base, plain.rope_base);
            const GgufFile differing = read(unequal);
            expect_error(ErrorCode::kUnsupported, {"model.gguf", key, "layers"}, [&] { hyper(differing); });
        }
    }
}

}  // namespace
}  // namespace vkmoe
