#pragma once

#include "model/batch_builder.h"
#include "model/weights.h"

#include <span>
#include <string_view>

namespace vkmoe {

/// How one family of models is read and computed; each has a file of its own, architecture_NAME.cpp.
struct Architecture {
    std::string_view name;  ///< general.architecture
    HyperParameters (*read_hyper_parameters)(const GgufFile& file);
    LayerWeights (*load_layer)(WeightLoader& loader, const HyperParameters& hyper, uint32_t layer);
    void (*add_layer)(BatchBuilder& batch, uint32_t layer);
};

std::span<const Architecture* const> all_architectures();

/// The file's architecture; Error(kUnsupported) that lists the known ones.
const Architecture& find_architecture(const GgufFile& file);

/// Loads all tensors of a model. Throws as WeightLoader does.
void load_weights(WeightLoader& loader, const Architecture& architecture, const HyperParameters& hyper,
                  Weights& weights);

/// What the layers of all these models share: norms, Q, K, V and output of attention.
LayerWeights load_attention(WeightLoader& loader, const HyperParameters& hyper, uint32_t layer);
/// ffn_gate, ffn_up and ffn_down of a dense layer.
void load_dense_feed_forward(WeightLoader& loader, const HyperParameters& hyper, uint32_t layer,
                             LayerWeights& weights);
/// ffn_gate_inp and the three expert stacks.
void load_expert_feed_forward(WeightLoader& loader, const HyperParameters& hyper, uint32_t layer,
                              LayerWeights& weights);

}  // namespace vkmoe
