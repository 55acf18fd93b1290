#include "model/architecture.h"
#include "model/blocks.h"

namespace vkmoe {

/// Llama and, with experts, Mixtral. GGUF stores Q and K with their rows permuted so that rotary pairs are
/// neighbours.
extern const Architecture kArchitectureLlama{
    .name = "llama",
    .read_hyper_parameters =
        [](const GgufFile& file) {
            HyperParameters hyper = read_common_hyper_parameters(file);
            hyper.rope_style = RopeStyle::kInterleaved;
            hyper.renormalize_experts = true;
            return hyper;
        },
    .load_layer =
        [](WeightLoader& loader, const HyperParameters& hyper, uint32_t layer) {
            LayerWeights weights = load_attention(loader, hyper, layer);
            if (hyper.n_experts > 0) {
                load_expert_feed_forward(loader, hyper, layer, weights);
            } else {
                load_dense_feed_forward(loader, hyper, layer, weights);
            }
            return weights;
        },
    .add_layer =
        [](BatchBuilder& batch, uint32_t layer) {
            add_attention(batch, layer, QkNorm::kNone);
            if (batch.hyper().n_experts > 0) {
                add_expert_feed_forward(batch, layer);
            } else {
                add_dense_feed_forward(batch, layer);
            }
        },
};

}  // namespace vkmoe
