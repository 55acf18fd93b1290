#include "model/hyper_parameters.h"

#include "base/error.h"

#include <cmath>

namespace vkmoe {

namespace {

constexpr uint32_t kMaxExperts = 512;     // as many as the router kernel takes
constexpr uint32_t kMaxExpertsUsed = 32;  // likewise
constexpr uint32_t kMaxHeadDim = 256;     // as much as the attention kernel takes

void require(bool condition, const GgufFile& file, const std::string& key, const std::string& what) {
    if (!condition)
        fail(ErrorCode::kBadFile, "{}: key '{}' {}; the file is damaged or was converted wrongly",
             file.path(), key, what);
}

void read_rope(const GgufFile& file, const std::string& prefix, HyperParameters& hyper) {
    hyper.rope_base = file.get_or<float>(prefix + "rope.freq_base", 10000.0f);
    require(hyper.rope_base > 0 && std::isfinite(hyper.rope_base), file, prefix + "rope.freq_base",
            "is not a positive number");
    hyper.rope_dims = file.get_or<uint32_t>(prefix + "rope.dimension_count", hyper.head_dim);
    require(hyper.rope_dims % 2 == 0 && hyper.rope_dims <= hyper.head_dim, file,
            prefix + "rope.dimension_count",
            fmt::format("is {}, odd or more than a head's {} dimensions", hyper.rope_dims, hyper.head_dim));

    std::string scaling = file.get_or<std::string>(prefix + "rope.scaling.type", "none");
    float factor = file.get_or<float>(prefix + "rope.scaling.factor", 1.0f);
    if (scaling == "linear") {
        require(factor > 0 && std::isfinite(factor), file, prefix + "rope.scaling.factor",
                "is not a positive number");
        hyper.rope_scale = 1.0f / factor;
    } else if (scaling != "none") {
        fail(ErrorCode::kUnsupported,
             "{}: key '{}rope.scaling.type' is '{}', which this version does not compute (it knows none and "
             "linear)",
             file.path(), prefix, scaling);
    }
}

/// A tokenizer must have as many tokens as there are rows to look up; a model may come without one.
void check_vocabulary(const GgufFile& file, uint32_t n_rows) {
    const std::string key = "tokenizer.ggml.tokens";
    const GgufValue* value = file.find(key);
    if (value == nullptr) return;
    const size_t n_tokens = value->array() != nullptr ? value->array()->size() : 0;
    require(n_tokens == n_rows, file, key,
            fmt::format("has {} tokens where tensor 'token_embd.weight' has {} rows", n_tokens, n_rows));
}

}  // namespace

HyperParameters read_common_hyper_parameters(const GgufFile& file) {
    HyperParameters hyper;
    hyper.architecture = file.get<std::string>("general.architecture");
    hyper.name = file.get_or<std::string>("general.name", "");
    const std::string prefix = hyper.architecture + ".";
    auto positive = [&](const std::string& key) {
        uint32_t value = file.get<uint32_t>(prefix + key);
        require(value > 0 && value <= (1u << 24), file, prefix + key, fmt::format("is {}", value));
        return value;
    };
    hyper.n_layers = positive("block_count");
    require(hyper.n_layers <= 1024, file, prefix + "block_count", fmt::format("is {}", hyper.n_layers));
    hyper.n_embedding = positive("embedding_length");
    hyper.n_context_train = positive("context_length");
    hyper.n_heads = positive("attention.head_count");
    hyper.n_kv_heads = file.get_or<uint32_t>(prefix + "attention.head_count_kv", hyper.n_heads);
    require(hyper.n_kv_heads > 0 && hyper.n_heads % hyper.n_kv_heads == 0, file,
            prefix + "attention.head_count_kv",
            fmt::format("is {}, which does not divide {} heads", hyper.n_kv_heads, hyper.n_heads));
    hyper.head_dim =
        file.get_or<uint32_t>(prefix + "attention.key_length", hyper.n_embedding / hyper.n_heads);
    uint32_t value_dim = file.get_or<uint32_t>(prefix + "attention.value_length", hyper.head_dim);
    if (hyper.head_dim == 0 || hyper.head_dim % 32 != 0 || hyper.head_dim > kMaxHeadDim ||
        value_dim != hyper.head_dim) {
        fail(ErrorCode::kUnsupported,
             "{}: heads of {} key and {} value dimensions; this version computes equal multiples of 32 up to "
             "{}",
             file.path(), hyper.head_dim, value_dim, kMaxHeadDim);
    }
    hyper.norm_epsilon = file.get<float>(prefix + "attention.layer_norm_rms_epsilon");
    require(hyper.norm_epsilon >= 0 && hyper.norm_epsilon < 1, file,
            prefix + "attention.layer_norm_rms_epsilon", "makes no sense");
    hyper.n_feed_forward = file.get_or<uint32_t>(prefix + "feed_forward_length", 0);

    hyper.n_experts = file.get_or<uint32_t>(prefix + "expert_count", 0);
    if (hyper.n_experts > 0) {
        if (hyper.n_experts > kMaxExperts) {
            fail(ErrorCode::kUnsupported, "{}: {} experts a layer; this version computes at most {}",
                 file.path(), hyper.n_experts, kMaxExperts);
        }
        hyper.n_experts_used = positive("expert_used_count");
        require(hyper.n_experts_used <= hyper.n_experts, file, prefix + "expert_used_count",
                fmt::format("is {} of {} experts", hyper.n_experts_used, hyper.n_experts));
        if (hyper.n_experts_used > kMaxExpertsUsed) {
            fail(ErrorCode::kUnsupported, "{}: {} experts a token; this version computes at most {}",
                 file.path(), hyper.n_experts_used, kMaxExpertsUsed);
        }
        hyper.n_expert_feed_forward =
            file.get_or<uint32_t>(prefix + "expert_feed_forward_length", hyper.n_feed_forward);
        require(hyper.n_expert_feed_forward > 0, file, prefix + "expert_feed_forward_length",
                "is missing or zero");
        hyper.expert_weight_scale = file.get_or<float>(prefix + "expert_weights_scale", 1.0f);
        require(std::isfinite(hyper.expert_weight_scale), file, prefix + "expert_weights_scale",
                "is not a number");
        if (hyper.expert_weight_scale == 0)
            hyper.expert_weight_scale = 1;  // written so by converters that mean none
    } else {
        require(hyper.n_feed_forward > 0, file, prefix + "feed_forward_length", "is missing or zero");
    }
    read_rope(file, prefix, hyper);

    const GgufTensor& embedding = file.tensor("token_embd.weight");
    require(embedding.n_dims == 2 && embedding.ne[0] == hyper.n_embedding && embedding.ne[1] > 0 &&
                embedding.ne[1] < (1u << 30),
            file, "token_embd.weight",
            fmt::format("(a tensor) has shape {}, not [{} x vocabulary]", shape_string(embedding.shape()),
                        hyper.n_embedding));
    hyper.n_vocabulary = static_cast<uint32_t>(embedding.ne[1]);
    check_vocabulary(file, hyper.n_vocabulary);
    return hyper;
}

}  // namespace vkmoe
