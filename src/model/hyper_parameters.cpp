#include "model/hyper_parameters.h"

#include "base/error.h"

#include <cmath>
#include <optional>

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

/// The keys of one architecture. A number that is given for each layer must be the same for all.
class ArchitectureKeys {
  public:
    ArchitectureKeys(const GgufFile& file, const std::string& architecture)
        : file_(file), prefix_(architecture + ".") {}

    std::string name(std::string_view key) const { return prefix_ + std::string(key); }

    template <typename T>
    T get(std::string_view key) const {
        const GgufValue* value = file_.find(name(key));
        if (value == nullptr || value->array() == nullptr) return file_.get<T>(name(key));
        if (const std::optional<T> common = value->uniform<T>()) return *common;
        fail(ErrorCode::kUnsupported,
             "{}: key '{}' is {}: layers of different shapes are not supported by this version", file_.path(),
             name(key), describe(*value));
    }

    template <typename T>
    T get_or(std::string_view key, T fallback) const {
        return file_.find(name(key)) == nullptr ? fallback : get<T>(key);
    }

    bool has(std::string_view key) const { return file_.find(name(key)) != nullptr; }

    void require(bool condition, std::string_view key, const std::string& what) const {
        vkmoe::require(condition, file_, name(key), what);
    }

  private:
    const GgufFile& file_;
    std::string prefix_;
};

/// What positions are multiplied by, by the rules of llama.cpp's loader: rope.scaling.factor counts, else
/// rope.scale_linear; 0 stands for 1; the type is linear unless the file says otherwise; with type none both
/// are ignored.
float read_rope_scale(const GgufFile& file, const ArchitectureKeys& keys) {
    const auto type = keys.get_or<std::string>("rope.scaling.type", "linear");
    if (type == "none") return 1;
    const char* key = keys.has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear";
    const auto factor = keys.get_or<float>(key, 0);
    const float scale = factor == 0 ? 1 : 1 / factor;
    keys.require(factor >= 0 && std::isfinite(factor) && std::isfinite(scale), key,
                 "is not a positive number");
    if (type == "linear") return scale;
    if ((type == "yarn" || type == "longrope") && scale == 1) return 1;  // they stretch nothing
    fail(ErrorCode::kUnsupported,
         "{}: key '{}' is '{}', which would change the result and is not supported (none and linear are)",
         file.path(), keys.name("rope.scaling.type"), printable(type));
}

void read_rope(const GgufFile& file, const ArchitectureKeys& keys, HyperParameters& hyper) {
    hyper.rope_base = keys.get_or<float>("rope.freq_base", 10000.0f);
    keys.require(hyper.rope_base > 0 && std::isfinite(hyper.rope_base), "rope.freq_base",
                 "is not a positive number");
    hyper.rope_dims = keys.get_or<uint32_t>("rope.dimension_count", hyper.head_dim);
    keys.require(hyper.rope_dims > 0 && hyper.rope_dims % 2 == 0 && hyper.rope_dims <= hyper.head_dim,
                 "rope.dimension_count",
                 fmt::format("is {}, which is not an even number from 2 to a head's {} dimensions",
                             hyper.rope_dims, hyper.head_dim));
    hyper.rope_scale = read_rope_scale(file, keys);
}

/// A tokenizer must have as many tokens as there are rows to look up; a model may come without one.
void check_vocabulary(const GgufFile& file, uint32_t n_rows) {
    const std::string key = "tokenizer.ggml.tokens";
    const GgufValue* value = file.find(key);
    if (value == nullptr) return;
    const size_t n_tokens = value->array() != nullptr ? value->array()->size() : 0;
    require(n_tokens == n_rows, file, key,
            fmt::format("has {} tokens, but tensor 'token_embd.weight' has {} rows", n_tokens, n_rows));
}

}  // namespace

HyperParameters read_common_hyper_parameters(const GgufFile& file) {
    HyperParameters hyper;
    hyper.architecture = file.get<std::string>("general.architecture");
    hyper.name = file.get_or<std::string>("general.name", "");
    const ArchitectureKeys keys(file, hyper.architecture);
    auto positive = [&](std::string_view key) {
        const auto value = keys.get<uint32_t>(key);
        keys.require(value > 0 && value <= (1u << 24), key, fmt::format("is {}", value));
        return value;
    };
    hyper.n_layers = positive("block_count");
    keys.require(hyper.n_layers <= 1024, "block_count", fmt::format("is {}", hyper.n_layers));
    hyper.n_embedding = positive("embedding_length");
    hyper.n_context_train = positive("context_length");
    hyper.n_heads = positive("attention.head_count");
    hyper.n_kv_heads = keys.get_or<uint32_t>("attention.head_count_kv", hyper.n_heads);
    keys.require(hyper.n_kv_heads > 0 && hyper.n_heads % hyper.n_kv_heads == 0, "attention.head_count_kv",
                 fmt::format("is {}, which does not divide {} heads", hyper.n_kv_heads, hyper.n_heads));
    hyper.head_dim = keys.get_or<uint32_t>("attention.key_length", hyper.n_embedding / hyper.n_heads);
    uint32_t value_dim = keys.get_or<uint32_t>("attention.value_length", hyper.head_dim);
    if (hyper.head_dim == 0 || hyper.head_dim % 32 != 0 || hyper.head_dim > kMaxHeadDim ||
        value_dim != hyper.head_dim) {
        fail(ErrorCode::kUnsupported,
             "{}: heads of {} key and {} value dimensions are not supported; this version supports equal "
             "multiples of 32 up to {}",
             file.path(), hyper.head_dim, value_dim, kMaxHeadDim);
    }
    hyper.norm_epsilon = keys.get<float>("attention.layer_norm_rms_epsilon");
    keys.require(hyper.norm_epsilon >= 0 && hyper.norm_epsilon < 1, "attention.layer_norm_rms_epsilon",
                 "is not at least 0 and below 1");
    hyper.n_feed_forward = keys.get_or<uint32_t>("feed_forward_length", 0);

    hyper.n_experts = keys.get_or<uint32_t>("expert_count", 0);
    if (hyper.n_experts > 0) {
        if (hyper.n_experts > kMaxExperts) {
            fail(ErrorCode::kUnsupported, "{}: {} experts per layer; this version supports at most {}",
                 file.path(), hyper.n_experts, kMaxExperts);
        }
        hyper.n_experts_used = positive("expert_used_count");
        keys.require(hyper.n_experts_used <= hyper.n_experts, "expert_used_count",
                     fmt::format("is {} of {} experts", hyper.n_experts_used, hyper.n_experts));
        if (hyper.n_experts_used > kMaxExpertsUsed) {
            fail(ErrorCode::kUnsupported, "{}: {} experts per token; this version supports at most {}",
                 file.path(), hyper.n_experts_used, kMaxExpertsUsed);
        }
        hyper.n_expert_feed_forward =
            keys.get_or<uint32_t>("expert_feed_forward_length", hyper.n_feed_forward);
        keys.require(hyper.n_expert_feed_forward > 0, "expert_feed_forward_length", "is missing or zero");
    } else {
        keys.require(hyper.n_feed_forward > 0, "feed_forward_length", "is missing or zero");
    }
    read_rope(file, keys, hyper);

    const GgufTensor& embedding = file.tensor("token_embd.weight");
    require(embedding.ne[2] * embedding.ne[3] == 1 && embedding.ne[0] == hyper.n_embedding &&
                embedding.ne[1] < (1u << 30),
            file, "token_embd.weight",
            fmt::format("(a tensor) has shape {}, not [{} x vocabulary]", shape_string(embedding.shape()),
                        hyper.n_embedding));
    hyper.n_vocabulary = static_cast<uint32_t>(embedding.ne[1]);
    check_vocabulary(file, hyper.n_vocabulary);
    return hyper;
}

}  // namespace vkmoe
