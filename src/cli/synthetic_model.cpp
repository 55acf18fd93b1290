#include "cli/synthetic_model.h"

#include "text/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vkmoe::cli {
namespace {

/// What GGUF calls general.file_type, the ids of llama.cpp's enum llama_ftype.
uint32_t file_type(TensorType type) {
    switch (type) {
        case TensorType::kF32:
            return 0;
        case TensorType::kF16:
            return 1;
        case TensorType::kBF16:
            return 32;
        case TensorType::kQ4_0:
            return 2;
        case TensorType::kQ4_1:
            return 3;
        case TensorType::kQ5_0:
            return 8;
        case TensorType::kQ5_1:
            return 9;
        case TensorType::kQ8_0:
            return 7;
        case TensorType::kQ2_K:
            return 21;
        case TensorType::kQ3_K:
            return 11;
        case TensorType::kQ4_K:
            return 14;
        case TensorType::kQ5_K:
            return 16;
        case TensorType::kQ6_K:
            return 18;
        case TensorType::kIQ1_S:
            return 24;
        case TensorType::kIQ1_M:
            return 31;
        case TensorType::kIQ2_XXS:
            return 19;
        case TensorType::kIQ2_XS:
            return 20;
        case TensorType::kIQ2_S:
            return 28;
        case TensorType::kIQ3_XXS:
            return 23;
        case TensorType::kIQ3_S:
            return 26;
        case TensorType::kIQ4_NL:
            return 25;
        case TensorType::kIQ4_XS:
            return 30;
        case TensorType::kTQ1_0:
            return 36;
        case TensorType::kTQ2_0:
            return 37;
        case TensorType::kMXFP4:
            return 38;
        case TensorType::kNVFP4:
            return 39;
        case TensorType::kQ1_0:
            return 40;
        case TensorType::kQ2_0:
            return 41;
    }
    return 1024;  // guessed
}

void add_hyper_parameters(GgufWriter& writer, const SyntheticModel& model) {
    const PublishedShape& shape = *model.shape;
    writer.set("general.architecture", shape.architecture);
    writer.set("general.name", fmt::format("{} with random weights, {} of {} layers", shape.name,
                                           model.n_layers, shape.n_layers));
    writer.set("general.file_type", file_type(model.type));
    writer.set("general.quantization_version", uint32_t{2});
    const auto set = [&](std::string_view name, auto value) {
        writer.set(fmt::format("{}.{}", shape.architecture, name), value);
    };
    set("block_count", model.n_layers);
    set("context_length", shape.n_context);
    set("embedding_length", shape.n_embedding);
    set("feed_forward_length", shape.n_feed_forward);
    set("attention.head_count", shape.n_heads);
    set("attention.head_count_kv", shape.n_kv_heads);
    set("attention.key_length", shape.head_dim);
    set("attention.value_length", shape.head_dim);
    set("attention.layer_norm_rms_epsilon", shape.norm_epsilon);
    set("rope.freq_base", shape.rope_base);
    set("rope.dimension_count", shape.head_dim);
    set("expert_count", shape.n_experts);
    set("expert_used_count", shape.n_experts_used);
    // Always: without it, llama.cpp takes feed_forward_length / expert_used_count for qwen3moe.
    set("expert_feed_forward_length", shape.n_expert_feed_forward);
    set("vocab_size", model.n_vocabulary);
}

/// GPT-2's printable stand-ins for bytes, by byte: those that are printable in Latin-1 stand for themselves,
/// the others are given the characters from U+0100 on.
std::vector<std::string> byte_tokens() {
    std::vector<std::string> tokens;
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
        const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        const uint32_t character = printable ? byte : next++;
        std::string text;
        if (character < 0x80) {
            text = static_cast<char>(character);
        } else {
            text += static_cast<char>(0xC0 | character >> 6);
            text += static_cast<char>(0x80 | (character & 0x3F));
        }
        tokens.push_back(std::move(text));
    }
    return tokens;
}

/// A byte-level BPE: 256 bytes, <|endoftext|>, and words of the letters a to z, the shortest first, each
/// merged of the word without its last letter and that letter.
void add_vocabulary(GgufWriter& writer, uint32_t n_vocabulary) {
    std::vector<std::string> tokens = byte_tokens();
    std::vector<int32_t> types(n_vocabulary, static_cast<int32_t>(TokenType::kNormal));
    const auto end_of_text = static_cast<uint32_t>(tokens.size());
    tokens.emplace_back("<|endoftext|>");
    types[end_of_text] = static_cast<int32_t>(TokenType::kControl);
    std::vector<std::string> merges;
    std::vector<std::string> shorter;
    for (char letter = 'a'; letter <= 'z'; ++letter) shorter.emplace_back(1, letter);
    while (tokens.size() < n_vocabulary) {
        std::vector<std::string> longer;
        for (const std::string& word : shorter) {
            for (char letter = 'a'; letter <= 'z' && tokens.size() < n_vocabulary; ++letter) {
                merges.push_back(fmt::format("{} {}", word, letter));
                longer.push_back(word + letter);
                tokens.push_back(longer.back());
            }
        }
        shorter = std::move(longer);
    }
    writer.set("tokenizer.ggml.model", "gpt2");
    writer.set("tokenizer.ggml.pre", "gpt-2");
    writer.set_array("tokenizer.ggml.tokens", std::span<const std::string>(tokens));
    writer.set_array("tokenizer.ggml.token_type", types);
    writer.set_array("tokenizer.ggml.merges", std::span<const std::string>(merges));
    writer.set("tokenizer.ggml.bos_token_id", end_of_text);
    writer.set("tokenizer.ggml.eos_token_id", end_of_text);
    writer.set("tokenizer.ggml.add_bos_token", false);
}

/// Adds tensors and counts the bytes that they write.
class TensorList {
  public:
    TensorList(GgufWriter& writer, RandomWeights& weights, std::function<void(uint64_t)> written)
        : writer_(writer),
          weights_(weights),
          progress_(std::make_shared<Progress>(Progress{std::move(written), 0})) {}

    /// shape: the row length first.
    void add_random(const std::string& name, TensorType type, std::initializer_list<uint64_t> shape) {
        uint64_t n_rows = 1;
        for (const uint64_t dimension : std::span(std::data(shape), shape.size()).subspan(1))
            n_rows *= dimension;
        writer_.add_tensor(name, type, shape,
                           [type, row_length = *shape.begin(), n_rows, &weights = weights_,
                            progress = progress_](const GgufWriter::Sink& sink) {
                               weights.produce(type, row_length, n_rows,
                                               [&](std::span<const std::byte> bytes) {
                                                   sink(bytes);
                                                   progress->bytes += bytes.size();
                                                   progress->written(progress->bytes);
                                               });
                           });
    }

    void add_ones(const std::string& name, uint64_t length) {
        writer_.add_tensor(name, TensorType::kF32, {length}, [length](const GgufWriter::Sink& sink) {
            const std::vector<float> ones(length, 1.0F);
            sink(std::as_bytes(std::span(ones)));
        });
    }

  private:
    struct Progress {
        std::function<void(uint64_t)> written;
        uint64_t bytes;
    };

    GgufWriter& writer_;
    RandomWeights& weights_;
    std::shared_ptr<Progress> progress_;
};

void add_layer(TensorList& tensors, const SyntheticModel& model, uint32_t layer) {
    const PublishedShape& shape = *model.shape;
    const TensorType type = model.type;
    const uint64_t n_embedding = shape.n_embedding;
    const uint64_t n_query = uint64_t{shape.n_heads} * shape.head_dim;
    const uint64_t n_key = uint64_t{shape.n_kv_heads} * shape.head_dim;
    const uint64_t n_expert_width = shape.n_expert_feed_forward;
    const uint64_t n_experts = shape.n_experts;
    const auto name = [layer](std::string_view part) { return fmt::format("blk.{}.{}.weight", layer, part); };
    tensors.add_ones(name("attn_norm"), n_embedding);
    tensors.add_random(name("attn_q"), type, {n_embedding, n_query});
    tensors.add_random(name("attn_k"), type, {n_embedding, n_key});
    tensors.add_random(name("attn_v"), type, {n_embedding, n_key});
    tensors.add_random(name("attn_output"), type, {n_query, n_embedding});
    if (shape.qk_norm != PublishedShape::QkNorm::kNone) {
        const bool whole = shape.qk_norm == PublishedShape::QkNorm::kWholeVector;
        tensors.add_ones(name("attn_q_norm"), whole ? n_query : shape.head_dim);
        tensors.add_ones(name("attn_k_norm"), whole ? n_key : shape.head_dim);
    }
    tensors.add_ones(name("ffn_norm"), n_embedding);
    tensors.add_random(name("ffn_gate_inp"), TensorType::kF32, {n_embedding, n_experts});
    tensors.add_random(name("ffn_gate_exps"), type, {n_embedding, n_expert_width, n_experts});
    tensors.add_random(name("ffn_up_exps"), type, {n_embedding, n_expert_width, n_experts});
    tensors.add_random(name("ffn_down_exps"), type, {n_expert_width, n_embedding, n_experts});
}

}  // namespace

GgufWriter synthesize(const SyntheticModel& model, RandomWeights& weights,
                      std::function<void(uint64_t)> written) {
    GgufWriter writer;
    add_hyper_parameters(writer, model);
    add_vocabulary(writer, model.n_vocabulary);
    TensorList tensors(writer, weights, std::move(written));
    const uint64_t n_embedding = model.shape->n_embedding;
    tensors.add_random("token_embd.weight", model.type, {n_embedding, model.n_vocabulary});
    for (uint32_t layer = 0; layer < model.n_layers; ++layer) add_layer(tensors, model, layer);
    tensors.add_ones("output_norm.weight", n_embedding);
    tensors.add_random("output.weight", model.type, {n_embedding, model.n_vocabulary});
    return writer;
}

}  // namespace vkmoe::cli
