#include "model/tiny_models.h"

#include "formats/quantize.h"
#include "text/vocabulary.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>
#include <random>

namespace vkmoe {
namespace {

using namespace std::string_literals;

/// Standard deviation of router logits: wide, so that near-ties are rare.
constexpr double kRouterSpread = 3;

/// Normal numbers by Box and Muller: std::normal_distribution differs between standard libraries.
std::vector<float> normal(std::mt19937_64& random, uint64_t n, double mean, double deviation) {
    const auto uniform = [&] { return (static_cast<double>(random() >> 11) + 1) * 0x1p-53; };
    std::vector<float> values(n);
    for (float& value : values) {
        const double radius = std::sqrt(-2 * std::log(uniform()));
        value = static_cast<float>(mean + deviation * radius * std::cos(2 * std::numbers::pi * uniform()));
    }
    return values;
}

class Filler {
  public:
    Filler(TinyFile& file, uint32_t seed) : file_(file), random_(seed) {}

    /// Outputs are `gain` times as large as inputs.
    void matrix(const std::string& name, TensorType type, std::vector<uint64_t> shape, double gain = 1) {
        uint64_t n = 1;
        for (const uint64_t dimension : shape) n *= dimension;
        const double deviation = gain / std::sqrt(static_cast<double>(shape[0]));
        const std::vector<float> values = normal(random_, n, 0, deviation);
        file_.tensors[name] = make_tensor(type, std::move(shape), values);
    }

    void norm(const std::string& name, uint64_t size) {
        file_.tensors[name] = make_tensor(TensorType::kF32, {size}, normal(random_, size, 1, 0.2));
    }

  private:
    TinyFile& file_;
    std::mt19937_64 random_;
};

/// A byte-level vocabulary: every byte by GPT-2's printable stand-in, an end of text, then words without
/// merges.
void add_vocabulary(TinyFile& file, uint32_t n_vocabulary) {
    std::vector<std::string> tokens;
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
        const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        const uint32_t character = printable ? byte : next++;
        if (character < 0x80) {
            tokens.emplace_back(1, static_cast<char>(character));
        } else {
            tokens.push_back(
                {static_cast<char>(0xC0 | character >> 6), static_cast<char>(0x80 | (character & 0x3F))});
        }
    }
    tokens.emplace_back("<|endoftext|>");
    while (tokens.size() < n_vocabulary) tokens.push_back(fmt::format("word{}", tokens.size()));
    std::vector<int32_t> types(n_vocabulary, static_cast<int32_t>(TokenType::kNormal));
    types[256] = static_cast<int32_t>(TokenType::kControl);
    file.metadata["tokenizer.ggml.model"] = "gpt2"s;
    file.metadata["tokenizer.ggml.pre"] = "gpt-2"s;
    file.metadata["tokenizer.ggml.tokens"] = std::move(tokens);
    file.metadata["tokenizer.ggml.token_type"] = std::move(types);
    file.metadata["tokenizer.ggml.merges"] = std::vector<std::string>{"a b", "c d"};
    file.metadata["tokenizer.ggml.eos_token_id"] = uint32_t{256};
}

void add_hyper_parameters(TinyFile& file, const TinyModel& model) {
    file.metadata["general.architecture"] = model.architecture;
    const auto set = [&](const char* name, TinyValue value) {
        file.metadata[model.architecture + "." + name] = std::move(value);
    };
    set("block_count", model.n_layers);
    set("context_length", model.n_context);
    set("embedding_length", model.n_embedding);
    set("attention.head_count", model.n_heads);
    set("attention.head_count_kv", model.n_kv_heads);
    set("attention.key_length", model.head_dim);
    set("attention.value_length", model.head_dim);
    set("attention.layer_norm_rms_epsilon", 1e-5F);
    set("rope.freq_base", 5000.0F);
    set("feed_forward_length", model.n_feed_forward);
    if (model.rope_dims > 0) set("rope.dimension_count", model.rope_dims);
    if (model.rope_scaling != 1) {
        set("rope.scaling.type", "linear"s);
        set("rope.scaling.factor", model.rope_scaling);
    }
    if (model.n_experts == 0) return;
    set("expert_count", model.n_experts);
    set("expert_used_count", model.n_experts_used);
    if (model.architecture == "qwen3moe") set("expert_feed_forward_length", model.n_feed_forward);
}

void add_layer(Filler& filler, const TinyModel& model, uint32_t layer) {
    const uint64_t width = model.n_embedding;
    const uint64_t inner = model.n_feed_forward;
    const uint64_t q_width = uint64_t{model.n_heads} * model.head_dim;
    const uint64_t kv_width = uint64_t{model.n_kv_heads} * model.head_dim;
    const auto name = [&](const char* part) { return fmt::format("blk.{}.{}.weight", layer, part); };
    filler.norm(name("attn_norm"), width);
    filler.matrix(name("attn_q"), model.attention_type, {width, q_width}, 1.5);
    filler.matrix(name("attn_k"), model.attention_type, {width, kv_width}, 1.5);
    filler.matrix(name("attn_v"), model.attention_type, {width, kv_width}, 2);
    filler.matrix(name("attn_output"), model.attention_type, {q_width, width});
    if (model.architecture == "qwen3moe") {
        filler.norm(name("attn_q_norm"), model.head_dim);
        filler.norm(name("attn_k_norm"), model.head_dim);
    } else if (model.architecture == "olmoe") {
        filler.norm(name("attn_q_norm"), q_width);
        filler.norm(name("attn_k_norm"), kv_width);
    }
    filler.norm(name("ffn_norm"), width);
    if (model.n_experts == 0) {
        filler.matrix(name("ffn_gate"), model.gate_type, {width, inner});
        filler.matrix(name("ffn_up"), model.up_type, {width, inner});
        filler.matrix(name("ffn_down"), model.down_type, {inner, width}, 2);
        return;
    }
    filler.matrix(name("ffn_gate_inp"), TensorType::kF32, {width, model.n_experts}, kRouterSpread);
    filler.matrix(name("ffn_gate_exps"), model.gate_type, {width, inner, model.n_experts});
    filler.matrix(name("ffn_up_exps"), model.up_type, {width, inner, model.n_experts});
    filler.matrix(name("ffn_down_exps"), model.down_type, {inner, width, model.n_experts}, 2);
}

}  // namespace

TinyModel TinyModel::with_type(TensorType type) const {
    TinyModel model = *this;
    model.embedding_type = model.attention_type = model.gate_type = model.up_type = model.down_type = type;
    if (tensor_type_info(type).block_elements == 256) {
        model.n_embedding = model.n_feed_forward = 256;
        model.n_heads = 256 / model.head_dim;
    }
    return model;
}

TinyTensor make_tensor(TensorType type, std::vector<uint64_t> shape, std::span<const float> values) {
    TinyTensor tensor{type, std::move(shape), {}};
    const uint64_t row = tensor.shape[0];
    const uint64_t bytes = row_bytes(type, row);
    tensor.bytes.resize(values.size() / row * bytes);
    for (uint64_t i = 0; i < values.size() / row; ++i) {
        quantize_row(type, values.data() + i * row, tensor.bytes.data() + i * bytes, row);
    }
    return tensor;
}

TinyFile make_tiny_file(const TinyModel& model) {
    TinyFile file;
    add_hyper_parameters(file, model);
    add_vocabulary(file, model.n_vocabulary);
    Filler filler(file, model.seed);
    // As large as what layers add to it, so that every layer counts in the logits.
    filler.matrix("token_embd.weight", model.embedding_type, {model.n_embedding, model.n_vocabulary},
                  std::sqrt(static_cast<double>(model.n_embedding)));
    for (uint32_t layer = 0; layer < model.n_layers; ++layer) add_layer(filler, model, layer);
    filler.norm("output_norm.weight", model.n_embedding);
    if (!model.tied_output) {
        filler.matrix("output.weight", model.embedding_type, {model.n_embedding, model.n_vocabulary});
    }
    if (!model.rope_factors.empty()) {
        file.tensors["rope_freqs.weight"] =
            make_tensor(TensorType::kF32, {model.rope_factors.size()}, model.rope_factors);
    }
    return file;
}

GgufWriter TinyFile::writer() const {
    GgufWriter writer;
    for (const auto& entry : metadata) {
        const std::string& key = entry.first;
        std::visit(
            [&]<typename T>(const T& value) {
                if constexpr (std::is_same_v<T, std::vector<std::string>>) {
                    writer.set_array(key, std::span<const std::string>(value));
                } else if constexpr (requires { typename T::value_type; } &&
                                     !std::is_same_v<T, std::string>) {
                    writer.set_array(key, value);
                } else {
                    writer.set(key, value);
                }
            },
            entry.second);
    }
    for (const auto& entry : tensors) {
        const std::vector<std::byte>& bytes = entry.second.bytes;
        writer.add_tensor(entry.first, entry.second.type, std::span<const uint64_t>(entry.second.shape),
                          [&bytes](const GgufWriter::Sink& sink) { sink(bytes); });
    }
    return writer;
}

void TinyFile::write(const std::string& path) const {
    writer().write(path);
}

}  // namespace vkmoe
