#include "base/error.h"
#include "model/architecture.h"
#include "model/blocks.h"

namespace vkmoe {

/// OLMoE: Q and K are normed over all heads at once; the experts' weights are the softmax's own, not
/// renormalized.
extern const Architecture kArchitectureOlmoe{
    .name = "olmoe",
    .read_hyper_parameters =
        [](const GgufFile& file) {
            HyperParameters hyper = read_common_hyper_parameters(file);
            if (hyper.n_experts == 0)
                fail(ErrorCode::kBadFile, "{}: key 'olmoe.expert_count' is missing or zero", file.path());
            hyper.rope_style = RopeStyle::kHalfSplit;
            hyper.renormalize_experts = false;
            return hyper;
        },
    .load_layer =
        [](WeightLoader& loader, const HyperParameters& hyper, uint32_t layer) {
            LayerWeights weights = load_attention(loader, hyper, layer);
            const std::string prefix = fmt::format("blk.{}.", layer);
            weights.q_norm = loader.vector(prefix + "attn_q_norm.weight", hyper.n_heads * hyper.head_dim);
            weights.k_norm = loader.vector(prefix + "attn_k_norm.weight", hyper.n_kv_heads * hyper.head_dim);
            load_expert_feed_forward(loader, hyper, layer, weights);
            return weights;
        },
    .add_layer =
        [](BatchBuilder& batch, uint32_t layer) {
            add_attention(batch, layer, QkNorm::kAllHeads);
            add_expert_feed_forward(batch, layer);
        },
};

}  // namespace vkmoe
