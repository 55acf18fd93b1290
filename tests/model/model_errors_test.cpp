// Files that are no models, or not ones that vkmoe computes: each gives one line that says where and what.

#include "base/error.h"
#include "engine/session.h"
#include "model/tiny_models.h"
#include "unit/error_matching.h"
#include "unit/scoped_faults.h"
#include "unit/temp_folder.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>

namespace vkmoe {
namespace {

using namespace std::string_literals;

using Spoil = std::function<void(TinyFile&)>;

class ModelErrorsTest : public testing::Test {
  protected:
    std::string write(const TinyModel& model, const Spoil& spoil) const {
        TinyFile file = make_tiny_file(model);
        spoil(file);
        const std::string path = folder_ / "spoilt.gguf";
        file.write(path);
        return path;
    }

    /// The message must name the file too.
    void expect_refused(ErrorCode code, std::initializer_list<std::string_view> parts, const Spoil& spoil,
                        const TinyModel& model = {.n_layers = 1}) const {
        const std::string path = write(model, spoil);
        expect_error(code, {path}, [&] { Model::load(path); });
        expect_error(code, parts, [&] { Model::load(path); });
    }

    void expect_bad_value(const std::string& key, const TinyValue& value,
                          const TinyModel& model = {.n_layers = 1}) const {
        SCOPED_TRACE(key);
        expect_refused(
            ErrorCode::kBadFile, {key}, [&](TinyFile& file) { file.metadata[key] = value; }, model);
    }

    TempFolder folder_;
};

const TinyModel kDense{.architecture = "llama", .n_layers = 1, .n_experts = 0, .n_experts_used = 0};

TEST_F(ModelErrorsTest, UnspoiltModelsLoad) {
    for (const char* architecture : {"llama", "qwen3moe", "olmoe"}) {
        const TinyModel model{.architecture = architecture, .n_layers = 1};
        const auto loaded = Model::load(write(model, [](TinyFile&) {}));
        EXPECT_EQ(loaded->hyper().architecture, architecture);
        EXPECT_EQ(loaded->hyper().n_experts, 8U);
    }
    EXPECT_EQ(Model::load(write(kDense, [](TinyFile&) {}))->hyper().n_experts, 0U);
}

TEST_F(ModelErrorsTest, MissingKeys) {
    for (const char* key : {"general.architecture", "qwen3moe.block_count", "qwen3moe.embedding_length",
                            "qwen3moe.context_length", "qwen3moe.attention.head_count",
                            "qwen3moe.attention.layer_norm_rms_epsilon", "qwen3moe.expert_count",
                            "qwen3moe.expert_used_count"}) {
        expect_refused(ErrorCode::kBadFile, {key, "missing"},
                       [&](TinyFile& file) { file.metadata.erase(key); });
    }
    const auto without_width = [](TinyFile& file) { file.metadata.erase("llama.feed_forward_length"); };
    expect_refused(ErrorCode::kBadFile, {"llama.feed_forward_length", "missing"}, without_width, kDense);
    expect_refused(ErrorCode::kBadFile, {"llama.expert_feed_forward_length", "missing"}, without_width,
                   {.architecture = "llama", .n_layers = 1});
}

TEST_F(ModelErrorsTest, CountsOfNothingAndOfTooMuch) {
    for (const char* key :
         {"qwen3moe.block_count", "qwen3moe.embedding_length", "qwen3moe.context_length",
          "qwen3moe.attention.head_count", "qwen3moe.attention.head_count_kv", "qwen3moe.expert_count",
          "qwen3moe.expert_used_count", "qwen3moe.expert_feed_forward_length"}) {
        expect_bad_value(key, uint32_t{0});
    }
    for (const char* key : {"qwen3moe.block_count", "qwen3moe.embedding_length", "qwen3moe.context_length",
                            "qwen3moe.attention.head_count", "qwen3moe.attention.head_count_kv",
                            "qwen3moe.expert_used_count", "qwen3moe.rope.dimension_count"}) {
        expect_bad_value(key, std::numeric_limits<uint32_t>::max());
    }
    expect_bad_value("qwen3moe.block_count", "two"s);
    expect_bad_value("qwen3moe.block_count", 2.0F);
}

TEST_F(ModelErrorsTest, MoreLayersThanTensors) {
    expect_refused(ErrorCode::kBadFile, {"blk.1.attn_norm.weight", "missing"},
                   [](TinyFile& file) { file.metadata["qwen3moe.block_count"] = uint32_t{2}; });
}

TEST_F(ModelErrorsTest, HeadsThatDoNotDivide) {
    expect_bad_value("qwen3moe.attention.head_count_kv", uint32_t{3});
    expect_bad_value("qwen3moe.attention.head_count_kv", uint32_t{8});
}

TEST_F(ModelErrorsTest, HeadSizesWithoutKernels) {
    const auto head_dim = [](uint32_t keys, uint32_t values) {
        return [=](TinyFile& file) {
            file.metadata["qwen3moe.attention.key_length"] = keys;
            file.metadata["qwen3moe.attention.value_length"] = values;
        };
    };
    expect_refused(ErrorCode::kUnsupported, {"heads of 48"}, head_dim(48, 48));
    expect_refused(ErrorCode::kUnsupported, {"heads of 288"}, head_dim(288, 288));
    expect_refused(ErrorCode::kUnsupported, {"heads of 0"}, head_dim(0, 0));
    expect_refused(ErrorCode::kUnsupported, {"32 key and 64 value"}, head_dim(32, 64));
}

TEST_F(ModelErrorsTest, ExpertCounts) {
    expect_bad_value("qwen3moe.expert_used_count", uint32_t{9});
    expect_refused(ErrorCode::kUnsupported, {"513 experts"},
                   [](TinyFile& file) { file.metadata["qwen3moe.expert_count"] = uint32_t{513}; });
    expect_refused(ErrorCode::kUnsupported, {"33 experts"}, [](TinyFile& file) {
        file.metadata["qwen3moe.expert_count"] = uint32_t{64};
        file.metadata["qwen3moe.expert_used_count"] = uint32_t{33};
    });
}

TEST_F(ModelErrorsTest, NumbersThatAreNone) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float infinity = std::numeric_limits<float>::infinity();
    for (const float value : {nan, infinity, -1e-6F, 1.0F}) {
        expect_bad_value("qwen3moe.attention.layer_norm_rms_epsilon", value);
    }
    for (const float value : {nan, infinity, 0.0F, -1.0F}) expect_bad_value("qwen3moe.rope.freq_base", value);
}

TEST_F(ModelErrorsTest, RopeThatIsNotComputed) {
    expect_bad_value("qwen3moe.rope.dimension_count", uint32_t{31});
    expect_bad_value("qwen3moe.rope.dimension_count", uint32_t{34});

    const auto factors = [](std::vector<float> values) {
        return [values](TinyFile& file) {
            file.tensors["rope_freqs.weight"] = make_tensor(TensorType::kF32, {values.size()}, values);
        };
    };
    expect_refused(ErrorCode::kBadFile, {"rope_freqs.weight", "[15]", "[16]"},
                   factors(std::vector<float>(15, 1)));
    expect_refused(ErrorCode::kBadFile, {"rope_freqs.weight"}, factors(std::vector<float>(16, 0)));
}

TEST_F(ModelErrorsTest, UnknownArchitecture) {
    expect_refused(ErrorCode::kUnsupported, {"general.architecture", "mamba", "qwen3moe"},
                   [](TinyFile& file) { file.metadata["general.architecture"] = "mamba"s; });
    expect_refused(ErrorCode::kBadFile, {"general.architecture"},
                   [](TinyFile& file) { file.metadata["general.architecture"] = uint32_t{1}; });
}

TEST_F(ModelErrorsTest, MissingTensors) {
    for (const char* name :
         {"token_embd.weight", "output_norm.weight", "blk.0.attn_q.weight", "blk.0.attn_k_norm.weight",
          "blk.0.ffn_norm.weight", "blk.0.ffn_gate_inp.weight", "blk.0.ffn_down_exps.weight"}) {
        expect_refused(ErrorCode::kBadFile, {name, "missing"},
                       [&](TinyFile& file) { file.tensors.erase(name); });
    }
    expect_refused(
        ErrorCode::kBadFile, {"blk.0.ffn_up.weight", "missing"},
        [](TinyFile& file) { file.tensors.erase("blk.0.ffn_up.weight"); }, kDense);
}

TEST_F(ModelErrorsTest, TensorsOfAnotherShape) {
    for (const char* name :
         {"token_embd.weight", "output.weight", "output_norm.weight", "blk.0.attn_norm.weight",
          "blk.0.attn_v.weight", "blk.0.attn_output.weight", "blk.0.attn_q_norm.weight",
          "blk.0.ffn_gate_inp.weight", "blk.0.ffn_gate_exps.weight", "blk.0.ffn_up_exps.weight",
          "blk.0.ffn_down_exps.weight"}) {
        expect_refused(ErrorCode::kBadFile, {name, "shape"}, [&](TinyFile& file) {
            TinyTensor& tensor = file.tensors.at(name);
            tensor.shape.front() *= 2;
            tensor.bytes.resize(tensor.bytes.size() * 2);
        });
    }
    // As many numbers, but turned.
    expect_refused(ErrorCode::kBadFile, {"blk.0.attn_k.weight", "[64 x 128]", "[128 x 64]"},
                   [](TinyFile& file) {
                       std::vector<uint64_t>& shape = file.tensors.at("blk.0.attn_k.weight").shape;
                       std::swap(shape[0], shape[1]);
                   });
}

TEST_F(ModelErrorsTest, RowsThatNoKernelReads) {
    expect_refused(ErrorCode::kUnsupported, {"ffn_down_exps.weight", "80"}, [](TinyFile&) {},
                   {.n_layers = 1, .n_feed_forward = 80});
}

TEST_F(ModelErrorsTest, TensorsThatHaveNoPlace) {
    const auto with = [](const char* name) {
        return [name](TinyFile& file) {
            file.tensors[name] = make_tensor(TensorType::kF32, {128}, std::vector<float>(128));
        };
    };
    expect_refused(ErrorCode::kUnsupported, {"blk.0.attn_q.bias", "qwen3moe"}, with("blk.0.attn_q.bias"));
    expect_refused(ErrorCode::kUnsupported, {"blk.7.attn_norm.weight"}, with("blk.7.attn_norm.weight"));
    // An expert model's tensors in a dense one.
    expect_refused(ErrorCode::kUnsupported, {"blk.0.ffn_gate_inp.weight", "llama"},
                   with("blk.0.ffn_gate_inp.weight"), kDense);
}

TEST_F(ModelErrorsTest, VocabularyOfAnotherSizeThanTheEmbedding) {
    for (const size_t n : {299U, 301U}) {
        expect_refused(
            ErrorCode::kBadFile, {"tokenizer.ggml.tokens", "token_embd.weight", std::to_string(n), "300"},
            [n](TinyFile& file) {
                auto& tokens = std::get<std::vector<std::string>>(file.metadata.at("tokenizer.ggml.tokens"));
                tokens.resize(n, "more");
            });
    }
    // A model that has no tokenizer is for callers who feed ids.
    const auto loaded = Model::load(write({.n_layers = 1}, [](TinyFile& file) {
        std::erase_if(file.metadata, [](const auto& entry) { return entry.first.starts_with("tokenizer."); });
    }));
    EXPECT_EQ(loaded->hyper().n_vocabulary, 300U);
}

TEST_F(ModelErrorsTest, TruncatedFiles) {
    const std::string path = write({.n_layers = 1}, [](TinyFile&) {});
    const std::string whole = read_file(path);
    for (const size_t size :
         {size_t{0}, size_t{3}, size_t{30}, whole.size() / 100, whole.size() / 2, whole.size() - 64}) {
        SCOPED_TRACE(fmt::format("{} of {} bytes", size, whole.size()));
        write_file(path, std::string_view(whole).substr(0, size));
        expect_error(ErrorCode::kBadFile, {path}, [&] { Model::load(path); });
    }
    const std::string missing = folder_ / "missing.gguf";
    expect_error(ErrorCode::kIo, {missing}, [&] { Model::load(missing); });
}

TEST_F(ModelErrorsTest, AFileThatIsCutShortWhileItIsLoaded) {
    for (const TinyModel& model : {kDense, TinyModel{}}) {
        const std::string path = write(model, [](TinyFile&) {});
        const std::string whole = read_file(path);
        const auto cut = [&](float) {
            std::filesystem::resize_file(path, whole.size() / 3);
            return true;
        };
        expect_error(ErrorCode::kIo,
                     {path, "tensor '", "at offset ", fmt::format("ends at {}", whole.size() / 3)},
                     [&] { Model::load(path, {.device = {}, .progress = cut}); });
        write_file(path, whole);
        EXPECT_NO_THROW(Model::load(path));
    }
}

TEST_F(ModelErrorsTest, EveryReadThatFails) {
    const std::string path = write(kDense, [](TinyFile&) {});
    size_t n_loads = 0;
    for (bool loaded = false; !loaded;) {
        const ScopedFaults faults(fmt::format("disk_read:at={}", ++n_loads));
        try {
            Model::load(path);
            loaded = fault_count(FaultPoint::kDiskRead) == 0;
            EXPECT_TRUE(loaded) << "read " << n_loads;
        } catch (const Error& error) {
            const std::string message = error.what();
            EXPECT_EQ(error.code(), ErrorCode::kIo) << message;
            for (const std::string& part : {path, "tensor '"s, "at offset "s, "Input/output error"s})
                EXPECT_NE(message.find(part), std::string::npos) << message;
        }
    }
    EXPECT_GT(n_loads, make_tiny_file(kDense).tensors.size()) << "each is read, and the last load is good";
}

TEST_F(ModelErrorsTest, ProgressRisesToOneAndCanCancel) {
    const std::string path = write({}, [](TinyFile&) {});
    std::vector<float> seen;
    const auto hear = [&seen](float share) {
        seen.push_back(share);
        return true;
    };
    Model::load(path, {.device = {}, .progress = hear});
    ASSERT_GT(seen.size(), 10U);
    EXPECT_TRUE(std::ranges::is_sorted(seen));
    EXPECT_GT(seen.front(), 0);
    EXPECT_FLOAT_EQ(seen.back(), 1);

    for (const size_t stop : {size_t{1}, seen.size() / 2, seen.size()}) {
        size_t calls = 0;
        expect_error(ErrorCode::kCancelled, {path, "cancelled"}, [&] {
            Model::load(path, {.device = {}, .progress = [&](float) { return ++calls < stop; }});
        });
        EXPECT_EQ(calls, stop);  // it was not asked again
    }
    EXPECT_NO_THROW(Model::load(path));
}

}  // namespace
}  // namespace vkmoe
