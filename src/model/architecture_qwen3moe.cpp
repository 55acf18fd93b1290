#include "base/error.h"
#include "model/architecture.h"
#include "model/blocks.h"

namespace vkmoe {

/// Qwen3-MoE: heads of Q and K are normed one by one; every layer has experts, whose weights are
/// renormalized.
extern const Architecture kArchitectureQwen3Moe{
    .name = "qwen3moe",
    .read_hyper_parameters =
        [](const GgufFile& file) {
            HyperParameters hyper = read_common_hyper_parameters(file);
            if (hyper.n_experts == 0)
                fail(ErrorCode::kBadFile, "{}: key 'qwen3moe.expert_count' is missing or zero", file.path());
            hyper.rope_style = RopeStyle::kHalfSplit;
            hyper.renormalize_experts = true;
            return hyper;
        },
    .load_layer =
        [](WeightLoader& loader, const HyperParameters& hyper, uint32_t layer) {
            LayerWeights weights = load_attention(loader, hyper, layer);
            weights.q_norm = loader.vector(fmt::format("blk.{}.attn_q_norm.weight", layer), hyper.head_dim);
            weights.k_norm = loader.vector(fmt::format("blk.{}.attn_k_norm.weight", layer), hyper.head_dim);
            load_expert_feed_forward(loader, hyper, layer, weights);
            return weights;
        },
    .add_layer =
        [](BatchBuilder& batch, uint32_t layer) {
            add_attention(batch, layer, QkNorm::kEachHead);
            add_expert_feed_forward(batch, layer);
        },
};

}  // namespace vkmoe
