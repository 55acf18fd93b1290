#pragma once

#include "formats/gguf.h"
#include "kernels/qk_norm_rope.h"

#include <cstdint>
#include <string>

namespace vkmoe {

/// The numbers that fix a model's shape, read from GGUF metadata and checked.
struct HyperParameters {
    std::string architecture;
    std::string name;
    uint32_t n_layers = 0;
    uint32_t n_embedding = 0;  ///< width of the residual stream
    uint32_t n_vocabulary = 0;
    uint32_t n_context_train = 0;
    uint32_t n_heads = 0;
    uint32_t n_kv_heads = 0;
    uint32_t head_dim = 0;
    uint32_t n_feed_forward = 0;  ///< of a dense layer; 0 where there is none
    uint32_t n_experts = 0;       ///< 0: all layers are dense
    uint32_t n_experts_used = 0;
    uint32_t n_expert_feed_forward = 0;
    float norm_epsilon = 0;
    float rope_base = 10000;
    float rope_scale = 1;  ///< positions are multiplied by it: one over the linear scaling factor
    uint32_t rope_dims = 0;
    RopeStyle rope_style = RopeStyle::kHalfSplit;
    bool renormalize_experts = false;  ///< the chosen experts' weights are divided by their sum
};

/// Reads the keys `<architecture>.…` that all architectures have. Throws Error(kBadFile), which names file
/// and key, for a number that is missing or makes no sense, and Error(kUnsupported) for one that vkmoe does
/// not compute. An architecture's own file goes on from here; check_metadata judges the keys that nobody
/// read.
HyperParameters read_common_hyper_parameters(const GgufFile& file);

}  // namespace vkmoe
