// Files that are no models, and layouts that vkmoe knows and does not compute: each is called what it is.

#include "model/file_check.h"

#include "model/tensor_names.h"
#include "model/tiny_models.h"
#include "unit/temp_folder.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

namespace vkmoe {
namespace {

using namespace std::string_literals;

class FileCheckTest : public testing::Test {
  protected:
    FileCheck check(const TinyFile& tiny) const {
        const std::string path = folder_ / "model.gguf";
        tiny.write(path);
        return check_file(GgufFile(path));
    }

    void expect_refused(const TinyFile& tiny, std::initializer_list<std::string_view> parts) const {
        const std::string refusal = check(tiny).refusal;
        EXPECT_EQ(refusal.find("model.gguf: "), std::string::npos) << refusal;
        EXPECT_EQ(refusal.find("incomplete"), std::string::npos) << refusal;
        for (const std::string_view part : parts)
            EXPECT_NE(refusal.find(part), std::string::npos) << "no \"" << part << "\" in: " << refusal;
    }

    TempFolder folder_;
};

const TinyModel kDense{.architecture = "llama", .n_layers = 1, .n_experts = 0, .n_experts_used = 0};
const TinyModel kMixtral{.architecture = "llama", .n_layers = 2};

TEST_F(FileCheckTest, SupportedModelsPass) {
    for (const char* architecture : {"llama", "qwen3moe", "olmoe"}) {
        const FileCheck found = check(make_tiny_file({.architecture = architecture, .n_layers = 2}));
        EXPECT_EQ(found.refusal, "");
        EXPECT_TRUE(found.warnings.empty());
    }
    EXPECT_EQ(check(make_tiny_file(kDense)).refusal, "");
}

TEST_F(FileCheckTest, OneTensorAnExpert) {
    TinyFile tiny = make_tiny_file(kMixtral);
    for (const std::string part : {"gate", "up", "down"}) {
        for (uint32_t layer = 0; layer < kMixtral.n_layers; ++layer) {
            const std::string prefix = fmt::format("blk.{}.ffn_{}", layer, part);
            const TinyTensor stacked = tiny.tensors.at(prefix + "_exps.weight");
            tiny.tensors.erase(prefix + "_exps.weight");
            const size_t bytes = stacked.bytes.size() / kMixtral.n_experts;
            for (uint32_t expert = 0; expert < kMixtral.n_experts; ++expert) {
                const auto begin = stacked.bytes.begin() + static_cast<std::ptrdiff_t>(expert * bytes);
                tiny.tensors[fmt::format("{}.{}.weight", prefix, expert)] = {
                    stacked.type,
                    {stacked.shape[0], stacked.shape[1]},
                    {begin, begin + static_cast<std::ptrdiff_t>(bytes)}};
            }
        }
    }
    expect_refused(tiny, {"one tensor per expert", "2024", "newer file"});
}

TEST_F(FileCheckTest, FusedMatrices) {
    TinyFile tiny = make_tiny_file(kMixtral);
    tiny.tensors["blk.0.attn_qkv.weight"] =
        make_tensor(TensorType::kF32, {128, 256}, std::vector<float>(32768));
    for (const char* part : {"q", "k", "v"}) tiny.tensors.erase(fmt::format("blk.0.attn_{}.weight", part));
    expect_refused(tiny, {"blk.0.attn_qkv.weight", "fused matrix of Q, K and V"});

    tiny = make_tiny_file(kMixtral);
    tiny.tensors["blk.0.ffn_gate_up_exps.weight"] = tiny.tensors.at("blk.0.ffn_gate_exps.weight");
    tiny.tensors.erase("blk.0.ffn_gate_exps.weight");
    expect_refused(tiny, {"blk.0.ffn_gate_up_exps.weight", "fused matrix of gate and up"});
}

TEST_F(FileCheckTest, ScalesBesideNvfp4) {
    TinyFile tiny = make_tiny_file(kMixtral);
    tiny.tensors["blk.0.ffn_up_exps.scale"] = make_tensor(TensorType::kF32, {8}, std::vector<float>(8, 1));
    expect_refused(tiny, {"blk.0.ffn_up_exps.scale", "NVFP4"});
}

TEST_F(FileCheckTest, FilesThatAreNoModels) {
    TinyFile tiny = make_tiny_file(kDense);
    tiny.metadata["general.type"] = "adapter"s;
    expect_refused(tiny, {"LoRA adapter"});
    tiny.metadata["general.type"] = "imatrix"s;
    tiny.metadata.erase("general.architecture");
    expect_refused(tiny, {"importance matrix"});
    tiny.metadata["general.type"] = "mmproj"s;
    tiny.metadata["general.architecture"] = "clip"s;
    expect_refused(tiny, {"multimodal"});
    tiny = make_tiny_file(kDense);
    tiny.metadata["general.architecture"] = "controlvector"s;
    expect_refused(tiny, {"control vector"});
    tiny = make_tiny_file(kDense);
    tiny.tensors.clear();
    expect_refused(tiny, {"vocabulary without weights"});
}

// A layout that nobody described yet: the file may well be whole.
TEST_F(FileCheckTest, AbsenceOfATensorIsNotCalledDamage) {
    TinyFile tiny = make_tiny_file(kDense);
    tiny.tensors.erase("blk.0.attn_q.weight");
    expect_refused(tiny, {"blk.0.attn_q.weight", "missing", "another layout"});
    tiny = make_tiny_file(kDense);
    tiny.tensors["blk.0.attn_q.bias"] = make_tensor(TensorType::kF32, {128}, std::vector<float>(128));
    expect_refused(tiny, {"blk.0.attn_q.bias", "unknown to architecture 'llama'"});
}

TEST_F(FileCheckTest, EmbeddingsOfFourDimensionsRun) {
    TinyFile tiny = make_tiny_file(kDense);
    tiny.tensors.at("token_embd.weight").shape = {128, 300, 1, 1};
    EXPECT_EQ(check(tiny).refusal, "");
    tiny.tensors.at("token_embd.weight").shape = {128, 150, 2};
    expect_refused(tiny, {"token_embd.weight", "[128 x 150 x 2]"});
}

TEST(TensorNames, SingleExperts) {
    for (const char* name : {"blk.0.ffn_gate.0.weight", "blk.31.ffn_up.7.weight", "blk.2.ffn_down.12.weight"})
        EXPECT_TRUE(is_single_expert(name) && is_of_experts(name)) << name;
    for (const char* name : {"blk.0.ffn_gate.weight", "blk.0.ffn_up..weight", "blk.0.ffn_up.a.weight",
                             "blk.0.ffn_up.1.bias", "blk.0.ffn_gate_inp.weight"})
        EXPECT_FALSE(is_single_expert(name) || is_of_experts(name)) << name;
    EXPECT_TRUE(is_of_experts("blk.0.ffn_up_exps.weight"));
}

}  // namespace
}  // namespace vkmoe
