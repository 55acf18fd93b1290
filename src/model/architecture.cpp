#include "model/architecture.h"

#include "base/error.h"

#include <fmt/ranges.h>

#include <array>
#include <vector>

namespace vkmoe {

extern const Architecture kArchitectureLlama;
extern const Architecture kArchitectureQwen3Moe;
extern const Architecture kArchitectureOlmoe;

std::span<const Architecture* const> all_architectures() {
    static constexpr std::array<const Architecture*, 3> kAll{&kArchitectureLlama, &kArchitectureQwen3Moe,
                                                             &kArchitectureOlmoe};
    return kAll;
}

const Architecture& find_architecture(const GgufFile& file) {
    const std::string name = file.get<std::string>("general.architecture");
    std::vector<std::string_view> known;
    for (const Architecture* architecture : all_architectures()) {
        if (architecture->name == name) return *architecture;
        known.push_back(architecture->name);
    }
    fail(ErrorCode::kUnsupported,
         "{}: architecture '{}' (key 'general.architecture') is not supported; this version runs {}",
         file.path(), name, fmt::join(known, ", "));
}

void load_weights(WeightLoader& loader, const Architecture& architecture, const HyperParameters& hyper,
                  Weights& weights) {
    weights.embedding = loader.matrix("token_embd.weight", hyper.n_vocabulary, hyper.n_embedding);
    for (uint32_t layer = 0; layer < hyper.n_layers; ++layer) {
        weights.layers.push_back(architecture.load_layer(loader, hyper, layer));
    }
    weights.output_norm = loader.vector("output_norm.weight", hyper.n_embedding);
    weights.output = loader.optional_matrix("output.weight", hyper.n_vocabulary, hyper.n_embedding);
    if (!weights.output) weights.output = weights.embedding;  // tied
    weights.rope_table = loader.rope_table(hyper);
    loader.finish();
}

LayerWeights load_attention(WeightLoader& loader, const HyperParameters& hyper, uint32_t layer) {
    const std::string prefix = fmt::format("blk.{}.", layer);
    const uint32_t q_width = hyper.n_heads * hyper.head_dim;
    const uint32_t kv_width = hyper.n_kv_heads * hyper.head_dim;
    LayerWeights weights;
    weights.attention_norm = loader.vector(prefix + "attn_norm.weight", hyper.n_embedding);
    weights.q = loader.matrix(prefix + "attn_q.weight", q_width, hyper.n_embedding);
    weights.k = loader.matrix(prefix + "attn_k.weight", kv_width, hyper.n_embedding);
    weights.v = loader.matrix(prefix + "attn_v.weight", kv_width, hyper.n_embedding);
    weights.attention_output = loader.matrix(prefix + "attn_output.weight", hyper.n_embedding, q_width);
    weights.feed_forward_norm = loader.vector(prefix + "ffn_norm.weight", hyper.n_embedding);
    return weights;
}

void load_dense_feed_forward(WeightLoader& loader, const HyperParameters& hyper, uint32_t layer,
                             LayerWeights& weights) {
    const std::string prefix = fmt::format("blk.{}.ffn_", layer);
    weights.gate = loader.matrix(prefix + "gate.weight", hyper.n_feed_forward, hyper.n_embedding);
    weights.up = loader.matrix(prefix + "up.weight", hyper.n_feed_forward, hyper.n_embedding);
    weights.down = loader.matrix(prefix + "down.weight", hyper.n_embedding, hyper.n_feed_forward);
}

void load_expert_feed_forward(WeightLoader& loader, const HyperParameters& hyper, uint32_t layer,
                              LayerWeights& weights) {
    weights.router =
        loader.matrix(fmt::format("blk.{}.ffn_gate_inp.weight", layer), hyper.n_experts, hyper.n_embedding);
    weights.experts = loader.experts(layer, hyper);
}

}  // namespace vkmoe
