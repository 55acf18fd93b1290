#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace vkmoe {

/// The hyper-parameters of a published model. All rows of its matrices are multiples of 64.
struct PublishedShape {
    /// How a model normalizes its queries and keys.
    enum class QkNorm : uint8_t { kNone, kEachHead, kWholeVector };

    std::string_view name;          ///< "Qwen3-30B-A3B"
    std::string_view architecture;  ///< as GGUF has it
    uint32_t n_layers;
    uint32_t n_context;
    uint32_t n_vocabulary;
    uint32_t n_embedding;
    uint32_t n_heads;
    uint32_t n_kv_heads;
    uint32_t head_dim;
    uint32_t n_feed_forward;  ///< what GGUF's feed_forward_length says
    uint32_t n_experts;
    uint32_t n_experts_used;
    uint32_t n_expert_feed_forward;
    float norm_epsilon;
    float rope_base;
    QkNorm qk_norm;
};

std::span<const PublishedShape> published_shapes();

/// The shape with this name, case ignored, or nullptr.
const PublishedShape* find_shape(std::string_view name);

}  // namespace vkmoe
