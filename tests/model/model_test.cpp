// Whole models on every path against the reference in double.

#include "engine/session.h"
#include "kernels/kernel_fixture.h"
#include "kernels/scoped_variable.h"
#include "model/reference_model.h"
#include "model/tiny_models.h"
#include "unit/temp_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <ostream>
#include <random>

namespace vkmoe {
namespace {

constexpr size_t kLongest = 40;
/// One token, as many as are computed pair by pair, the fewest that are grouped, and several tiles.
constexpr size_t kPromptLengths[] = {1, 7, 9, kLongest};

struct Case {
    const char* name;
    TinyModel model;
};
// GoogleTest prints parameters byte by byte otherwise.
void PrintTo(const Case& a_case, std::ostream* out) {
    *out << a_case.name;
}

std::string name_of(const testing::TestParamInfo<Case>& parameter) {
    return parameter.param.name;
}

struct Reference {
    std::vector<int32_t> tokens;
    std::vector<ReferenceModel::Token> results;
};

/// How far the best logit is from the next.
double lead(std::vector<double> logits) {
    std::ranges::nth_element(logits, logits.begin() + 1, std::greater());
    return logits[0] - logits[1];
}

/// A prompt of random tokens, without those at which a route or the likeliest next token is nearly a tie:
/// there both sides would be right.
Reference clear_prompt(const std::string& path, uint32_t seed, double least_margin) {
    ReferenceModel model(path);
    std::mt19937 random(seed);
    Reference reference;
    while (reference.tokens.size() < kLongest) {
        const auto token = static_cast<int32_t>(random() % model.n_vocabulary());
        ReferenceModel::Token result = model.next(token);
        if (std::min(result.margin, lead(result.logits)) < least_margin) {
            model.truncate(reference.tokens.size());
            continue;
        }
        reference.tokens.push_back(token);
        reference.results.push_back(std::move(result));
    }
    return reference;
}

size_t index_of_max(std::span<const double> values) {
    return static_cast<size_t>(std::ranges::max_element(values) - values.begin());
}
size_t index_of_max(std::span<const float> values) {
    return static_cast<size_t>(std::ranges::max_element(values) - values.begin());
}

struct Agreement {
    double worst_nmse = 0;  ///< of any prompt
    double top1 = 0;        ///< share of positions, over all prompts
};

/// Feeds the reference's first n tokens, for each n of kPromptLengths.
Agreement compare(Session& session, const Reference& reference) {
    Agreement agreement;
    size_t same = 0;
    size_t positions = 0;
    const size_t n_vocabulary = session.model().hyper().n_vocabulary;
    for (const size_t n : kPromptLengths) {
        session.truncate(0);
        std::vector<float> logits(n * n_vocabulary);
        session.feed(std::span(reference.tokens).first(n), logits);
        std::vector<double> expected;
        for (size_t i = 0; i < n; ++i) {
            const std::vector<double>& row = reference.results[i].logits;
            expected.insert(expected.end(), row.begin(), row.end());
            same +=
                index_of_max(row) == index_of_max(std::span(logits).subspan(i * n_vocabulary, n_vocabulary));
        }
        positions += n;
        agreement.worst_nmse = std::max(agreement.worst_nmse, nmse(expected, logits));
        // The last row comes by a way of its own.
        agreement.worst_nmse =
            std::max(agreement.worst_nmse, nmse(reference.results[n - 1].logits, session.logits()));
    }
    agreement.top1 = static_cast<double>(same) / static_cast<double>(positions);
    return agreement;
}

std::vector<uint64_t> expected_counts(const HyperParameters& hyper, const Reference& reference) {
    std::vector<uint64_t> counts(uint64_t{hyper.n_layers} * hyper.n_experts);
    for (const size_t n : kPromptLengths) {
        for (size_t i = 0; i < n; ++i) {
            const std::vector<uint32_t>& experts = reference.results[i].experts;
            for (size_t j = 0; j < experts.size(); ++j) {
                ++counts[j / hyper.n_experts_used * hyper.n_experts + experts[j]];
            }
        }
    }
    return counts;
}

class ModelTest : public testing::TestWithParam<Case> {
  protected:
    /// Checks the case's model on one path.
    void check(const char* path, double nmse_limit, double least_margin) {
        const ScopedVariable forced("VKMOE_PATH", path);
        const TempFolder folder;
        const std::string file = folder / "model.gguf";
        make_tiny_file(GetParam().model).write(file);
        const Reference reference = clear_prompt(file, GetParam().model.seed, least_margin);

        Session session(Model::load(file),
                        {.n_context = 64, .n_micro_batch = 64, .kv_type = TensorType::kF32});
        const Agreement agreement = compare(session, reference);
        EXPECT_LE(agreement.worst_nmse, nmse_limit);
        EXPECT_GE(agreement.top1, 0.95);
        RecordProperty("nmse", testing::PrintToString(agreement.worst_nmse));
        RecordProperty("top1", testing::PrintToString(agreement.top1));
        EXPECT_EQ(session.expert_counts(), expected_counts(session.model().hyper(), reference));
    }
};

// Float32 puts logits of a spread of 1, and those of routers of 3, off by some 1e-6; activations of 8 bits do
// so by some 1e-2.
TEST_P(ModelTest, ScalarAgreesWithReference) {
    check("scalar", 1e-9, 1e-3);
}
TEST_P(ModelTest, SubgroupAgreesWithReference) {
    check("subgroup", 1e-9, 1e-3);
}
TEST_P(ModelTest, Dot4AgreesWithReference) {
    check("dot4", 1e-3, 0.2);
}

TinyModel llama_dense() {
    return {.architecture = "llama", .seed = 11, .n_experts = 0, .n_experts_used = 0, .n_feed_forward = 224};
}
TinyModel mixtral() {
    return {.architecture = "llama", .seed = 12, .n_experts = 4, .n_experts_used = 2};
}
TinyModel qwen3moe() {
    return {.architecture = "qwen3moe", .seed = 13};
}
TinyModel olmoe() {
    return {.architecture = "olmoe", .seed = 14, .n_kv_heads = 4, .n_experts = 16, .n_experts_used = 4};
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, ModelTest,
    testing::Values(
        Case{"llama", llama_dense()}, Case{"mixtral", mixtral()}, Case{"qwen3moe", qwen3moe()},
        Case{"olmoe", olmoe()},
        Case{"llama_tied_factors",
             {.architecture = "llama",
              .seed = 21,
              .n_layers = 1,
              .n_embedding = 192,
              .n_heads = 6,
              .n_kv_heads = 1,
              .n_experts = 0,
              .n_experts_used = 0,
              .n_feed_forward = 160,
              .tied_output = true,
              .rope_factors = {1, 1, 1, 1.25F, 1.5F, 2, 2.5F, 3, 3.5F, 4, 5, 6, 7, 8, 8, 8}}},
        Case{"mixtral_one_expert_linear_rope",
             {.architecture = "llama",
              .seed = 22,
              .n_heads = 2,
              .n_kv_heads = 2,
              .head_dim = 64,
              .n_experts = 5,
              .n_experts_used = 1,
              .rope_scaling = 4}},
        Case{"qwen3moe_tied_scaled_narrow_rope",
             {.architecture = "qwen3moe",
              .seed = 23,
              .n_layers = 3,
              .n_vocabulary = 321,
              .n_embedding = 160,
              .n_heads = 6,
              .n_kv_heads = 3,
              .head_dim = 64,
              .n_experts = 13,
              .n_experts_used = 3,
              .n_feed_forward = 64,
              .tied_output = true,
              .rope_dims = 32}},
        Case{"olmoe_all_experts",
             {.architecture = "olmoe", .seed = 24, .n_kv_heads = 1, .n_experts = 4, .n_experts_used = 4}}),
    name_of);

TinyModel attention_and_experts(TinyModel model, TensorType attention, TensorType experts) {
    model = model.with_type(experts);
    model.attention_type = attention;
    return model;
}

TinyModel mixed_experts(TinyModel model, TensorType gate, TensorType up, TensorType down) {
    model = model.with_type(TensorType::kQ6_K);
    model.gate_type = gate;
    model.up_type = up;
    model.down_type = down;
    return model;
}

INSTANTIATE_TEST_SUITE_P(
    Types, ModelTest,
    testing::Values(Case{"mixtral_f16", mixtral().with_type(TensorType::kF16)},
                    Case{"olmoe_bf16", olmoe().with_type(TensorType::kBF16)},
                    Case{"llama_q4_0", llama_dense().with_type(TensorType::kQ4_0)},
                    Case{"qwen3moe_q8_0", qwen3moe().with_type(TensorType::kQ8_0)},
                    Case{"mixtral_q4_k", mixtral().with_type(TensorType::kQ4_K)},
                    Case{"olmoe_q5_k", olmoe().with_type(TensorType::kQ5_K)},
                    Case{"qwen3moe_q6_k", qwen3moe().with_type(TensorType::kQ6_K)},
                    Case{"qwen3moe_f16_attention_q4_k_experts",
                         attention_and_experts(qwen3moe(), TensorType::kF16, TensorType::kQ4_K)},
                    Case{"olmoe_gate_unlike_up",
                         mixed_experts(olmoe(), TensorType::kQ4_K, TensorType::kQ5_K, TensorType::kQ8_0)},
                    Case{"mixtral_float_gate_packed_up",
                         mixed_experts(mixtral(), TensorType::kF16, TensorType::kQ4_0, TensorType::kF32)},
                    Case{"llama_gate_unlike_up", mixed_experts(llama_dense(), TensorType::kQ8_0,
                                                               TensorType::kBF16, TensorType::kQ4_K)}),
    name_of);

}  // namespace
}  // namespace vkmoe
