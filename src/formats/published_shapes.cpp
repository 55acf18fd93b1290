#include "formats/published_shapes.h"

#include <algorithm>
#include <array>

namespace vkmoe {
namespace {

using QkNorm = PublishedShape::QkNorm;

// From config.json of mistralai/Mixtral-8x7B-v0.1, Qwen/Qwen3-30B-A3B, allenai/OLMoE-1B-7B-0924 and
// openai/gpt-oss-20b. The last one's own architecture is not supported yet: as qwen3moe its matrices have the
// same shapes.
constexpr std::array<PublishedShape, 4> kShapes = {{
    {.name = "Mixtral-8x7B",
     .architecture = "llama",
     .n_layers = 32,
     .n_context = 32768,
     .n_vocabulary = 32000,
     .n_embedding = 4096,
     .n_heads = 32,
     .n_kv_heads = 8,
     .head_dim = 128,
     .n_feed_forward = 14336,
     .n_experts = 8,
     .n_experts_used = 2,
     .n_expert_feed_forward = 14336,
     .norm_epsilon = 1e-5F,
     .rope_base = 1e6F,
     .qk_norm = QkNorm::kNone},
    {.name = "Qwen3-30B-A3B",
     .architecture = "qwen3moe",
     .n_layers = 48,
     .n_context = 40960,
     .n_vocabulary = 151936,
     .n_embedding = 2048,
     .n_heads = 32,
     .n_kv_heads = 4,
     .head_dim = 128,
     .n_feed_forward = 6144,
     .n_experts = 128,
     .n_experts_used = 8,
     .n_expert_feed_forward = 768,
     .norm_epsilon = 1e-6F,
     .rope_base = 1e6F,
     .qk_norm = QkNorm::kEachHead},
    {.name = "OLMoE-1B-7B",
     .architecture = "olmoe",
     .n_layers = 16,
     .n_context = 4096,
     .n_vocabulary = 50304,
     .n_embedding = 2048,
     .n_heads = 16,
     .n_kv_heads = 16,
     .head_dim = 128,
     .n_feed_forward = 1024,
     .n_experts = 64,
     .n_experts_used = 8,
     .n_expert_feed_forward = 1024,
     .norm_epsilon = 1e-5F,
     .rope_base = 10000.0F,
     .qk_norm = QkNorm::kWholeVector},
    {.name = "gpt-oss-20b",
     .architecture = "qwen3moe",
     .n_layers = 24,
     .n_context = 131072,
     .n_vocabulary = 201088,
     .n_embedding = 2880,
     .n_heads = 64,
     .n_kv_heads = 8,
     .head_dim = 64,
     .n_feed_forward = 2880,
     .n_experts = 32,
     .n_experts_used = 4,
     .n_expert_feed_forward = 2880,
     .norm_epsilon = 1e-5F,
     .rope_base = 150000.0F,
     .qk_norm = QkNorm::kEachHead},
}};

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

std::span<const PublishedShape> published_shapes() {
    return kShapes;
}

const PublishedShape* find_shape(std::string_view name) {
    const auto* found = std::ranges::find_if(kShapes, [name](const PublishedShape& shape) {
        return std::ranges::equal(shape.name, name, {}, lower, lower);
    });
    return found == kShapes.end() ? nullptr : found;
}

}  // namespace vkmoe
