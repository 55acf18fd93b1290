#include "model/known_keys.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

namespace vkmoe {

namespace {

using enum KeyEffect;

/// The number that the value is, or that all elements of it are; true is 1.
std::optional<double> number_of(const GgufValue& value) {
    if (const auto number = value.uniform<double>()) return number;
    if (const auto number = value.uniform<int64_t>()) return static_cast<double>(*number);
    if (const auto number = value.uniform<uint64_t>()) return static_cast<double>(*number);
    if (const auto flag = value.uniform<bool>()) return *flag ? 1 : 0;
    return std::nullopt;
}

bool is_any(const KeyContext& context, std::initializer_list<double> neutral) {
    const std::optional<double> number = number_of(context.value);
    return number && std::ranges::find(neutral, *number) != neutral.end();
}

bool is_one(const KeyContext& context) {
    return is_any(context, {1});
}

/// Converters write an absent scale or interval as 0 or 1, and softmax as 1, or 0 for the architecture's own.
bool is_zero_or_one(const KeyContext& context) {
    return is_any(context, {0, 1});
}

bool is_usual_attention_scale(const KeyContext& context) {
    const std::optional<double> number = number_of(context.value);
    const double usual = 1 / std::sqrt(static_cast<double>(context.hyper.head_dim));
    return number && (*number == 0 || std::abs(*number - usual) <= 1e-6 * usual);
}

bool covers_context(const KeyContext& context) {
    const std::optional<double> number = number_of(context.value);
    return number && (*number == 0 || *number >= context.hyper.n_context_train);
}

bool is_own_renormalization(const KeyContext& context) {
    return is_any(context, {context.hyper.renormalize_experts ? 1.0 : 0.0});
}

/// One group, or all groups used.
bool is_one_group(const KeyContext& context) {
    const std::optional<double> n_groups = number_of(context.value);
    if (!n_groups) return false;
    if (*n_groups <= 1 || context.hyper.n_experts == 0) return true;
    const GgufValue* used = context.file.find(context.hyper.architecture + ".expert_group_used_count");
    return used != nullptr && number_of(*used).value_or(0) >= *n_groups;
}

// llama.cpp's part of this list is what its build 11669 reads and ignores, found by setting each key of
// gguf-py and of libllama for each architecture and comparing logits: llama, qwen3moe and olmoe agree.
constexpr std::array kArchitectureKeys = {
    KnownKey{"attention.head_count", kRead, "heads"},
    KnownKey{"attention.head_count_kv", kRead, "heads of keys and values"},
    KnownKey{"attention.key_length", kRead, "the width of a head"},
    KnownKey{"attention.layer_norm_rms_epsilon", kRead, "the epsilon of norms"},
    KnownKey{"attention.value_length", kRead, "the width of a head"},
    KnownKey{"block_count", kRead, "layers"},
    KnownKey{"context_length", kRead, "the trained context"},
    KnownKey{"embedding_length", kRead, "the width of the residual stream"},
    KnownKey{"expert_count", kRead, "experts"},
    KnownKey{"expert_feed_forward_length", kRead, "the width of an expert"},
    KnownKey{"expert_used_count", kRead, "experts for a token"},
    KnownKey{"feed_forward_length", kRead, "the width of a feed-forward layer"},
    KnownKey{"rope.dimension_count", kRead, "rotated dimensions"},
    KnownKey{"rope.freq_base", kRead, "the base of rotation frequencies"},
    KnownKey{"rope.scale_linear", kRead, "linear position scaling"},
    KnownKey{"rope.scaling.factor", kRead, "position scaling"},
    KnownKey{"rope.scaling.type", kRead, "position scaling"},

    KnownKey{"attention.key_length_swa", kNone, "heads of layers with a sliding window"},
    KnownKey{"attention.value_length_swa", kNone, "heads of layers with a sliding window"},
    KnownKey{"classifier.", kNone, "classification, which is no output of vkmoe"},
    KnownKey{"embedding_length_out", kNone, "embeddings of another width, which are no output of vkmoe"},
    KnownKey{"expert_group_used_count", kNone, "nothing without expert_group_count"},
    KnownKey{"pooling_type", kNone, "sentence embeddings, which are no output of vkmoe"},
    KnownKey{"rope.dimension_count_swa", kNone, "layers with a sliding window"},
    KnownKey{"rope.scaling.finetuned", kNone, "training"},
    KnownKey{"rope.scaling.original_context_length", kNone, "nothing for linear position scaling"},
    KnownKey{"rope.section_order", kNone, "nothing without sections"},
    KnownKey{"tensor_data_layout", kNone, "the checkpoint that was converted"},
    KnownKey{"vocab_size", kNone, "the number of tokens, which the embedding's rows give"},

    KnownKey{"attention.causal", kRefused, "attention to later tokens", is_one},
    KnownKey{"expert_group_count", kRefused, "routing within groups of experts", is_one_group},
    KnownKey{"nextn_predict_layers", kRefused, "layers that only predict further tokens"},
    KnownKey{"rope.scaling.attn_factor", kRefused, "a factor on rotated queries and keys", is_one},

    KnownKey{"activation.", kIgnored, "another activation"},
    KnownKey{"adapters.", kIgnored, "built-in adapters"},
    KnownKey{"attention.clamp_kqv", kIgnored, "clamped queries, keys and values"},
    KnownKey{"attention.compress_", kIgnored, "compressed attention"},
    KnownKey{"attention.decay_lora_rank", kIgnored, "recurrent layers"},
    KnownKey{"attention.gate_lora_rank", kIgnored, "recurrent layers"},
    KnownKey{"attention.group_norm_", kIgnored, "group norms"},
    KnownKey{"attention.iclr_lora_rank", kIgnored, "recurrent layers"},
    KnownKey{"attention.indexer.", kIgnored, "sparse attention"},
    KnownKey{"attention.key_length_mla", kIgnored, "latent attention"},
    KnownKey{"attention.key_length_mla_swa", kIgnored, "latent attention"},
    KnownKey{"attention.kv_lora_rank", kIgnored, "latent attention"},
    KnownKey{"attention.kv_lora_rank_swa", kIgnored, "latent attention"},
    KnownKey{"attention.layer_norm_epsilon", kIgnored, "norms that subtract the mean"},
    KnownKey{"attention.max_alibi_bias", kIgnored, "ALiBi positions"},
    KnownKey{"attention.output_", kIgnored, "another output of attention"},
    KnownKey{"attention.q_lora_rank", kIgnored, "latent attention"},
    KnownKey{"attention.recurrent_layers", kIgnored, "recurrent layers"},
    KnownKey{"attention.relative_buckets_count", kIgnored, "relative positions"},
    KnownKey{"attention.rope_pattern", kIgnored, "layers without positions"},
    KnownKey{"attention.scale", kIgnored, "another scale of attention", is_usual_attention_scale},
    KnownKey{"attention.shared_kv_layers", kIgnored, "layers that share keys and values"},
    KnownKey{"attention.sliding_window", kIgnored, "a sliding attention window", covers_context},
    KnownKey{"attention.sliding_window_pattern", kIgnored, "layers with a sliding window"},
    KnownKey{"attention.temperature_length", kIgnored, "attention scaled by position"},
    KnownKey{"attention.temperature_scale", kIgnored, "attention scaled by position"},
    KnownKey{"attention.value_expert_", kIgnored, "experts of values"},
    KnownKey{"attention.value_length_mla", kIgnored, "latent attention"},
    KnownKey{"attention.value_length_mla_swa", kIgnored, "latent attention"},
    KnownKey{"attention.value_residual_mix_lora_rank", kIgnored, "recurrent layers"},
    KnownKey{"attention.value_scale", kIgnored, "scaled values", is_zero_or_one},
    KnownKey{"attn_logit_softcapping", kIgnored, "a soft cap on attention"},
    KnownKey{"attn_res.", kIgnored, "attention over earlier layers"},
    KnownKey{"block_size", kIgnored, "block diffusion"},
    KnownKey{"conv_", kIgnored, "convolutions"},
    KnownKey{"convnext.", kIgnored, "convolutions"},
    KnownKey{"decision.", kIgnored, "another head"},
    KnownKey{"decoder_", kIgnored, "a decoder beside an encoder"},
    KnownKey{"deepstack_mapping", kIgnored, "image features in several layers"},
    KnownKey{"dense_", kIgnored, "another head"},
    KnownKey{"embedding_length_per_layer_input", kIgnored, "an embedding of each layer"},
    KnownKey{"embedding_scale", kIgnored, "a scaled embedding", is_zero_or_one},
    KnownKey{"expert_chunk_feed_forward_length", kIgnored, "experts in chunks"},
    KnownKey{"expert_gating_func", kIgnored, "a router without softmax", is_zero_or_one},
    KnownKey{"expert_group_scale", kIgnored, "scaled groups of experts", is_zero_or_one},
    KnownKey{"expert_latent_length", kIgnored, "experts of latent width"},
    KnownKey{"expert_shared_count", kIgnored, "shared experts"},
    KnownKey{"expert_shared_feed_forward_length", kIgnored, "shared experts"},
    KnownKey{"expert_weights_norm", kIgnored, "another normalization of expert weights",
             is_own_renormalization},
    KnownKey{"expert_weights_scale", kIgnored, "scaled expert weights", is_zero_or_one},
    KnownKey{"experts_per_group", kIgnored, "routing within groups of experts"},
    KnownKey{"features_length", kIgnored, "audio features"},
    KnownKey{"final_logit_softcapping", kIgnored, "a soft cap on logits"},
    KnownKey{"full_attention_interval", kIgnored, "recurrent layers", is_zero_or_one},
    KnownKey{"hash_layer_count", kIgnored, "routing by hash"},
    KnownKey{"hidden_activation", kIgnored, "another activation"},
    KnownKey{"hrm.", kIgnored, "repeated layers"},
    KnownKey{"hyper_connection.", kIgnored, "several residual streams"},
    KnownKey{"interleave_moe_layer_step", kIgnored, "dense layers between expert layers", is_zero_or_one},
    KnownKey{"kda.", kIgnored, "recurrent layers"},
    KnownKey{"leading_dense_block_count", kIgnored, "dense layers before expert layers"},
    KnownKey{"logit_scale", kIgnored, "scaled logits", is_zero_or_one},
    KnownKey{"moe_every_n_layers", kIgnored, "dense layers between expert layers", is_zero_or_one},
    KnownKey{"moe_latent_size", kIgnored, "experts of latent width"},
    KnownKey{"n_deepstack_layers", kIgnored, "image features in several layers"},
    KnownKey{"norm_before_", kIgnored, "norms in other places"},
    KnownKey{"num_loops", kIgnored, "repeated layers", is_zero_or_one},
    KnownKey{"ple.", kIgnored, "an embedding of each layer"},
    KnownKey{"posnet.", kIgnored, "convolutions"},
    KnownKey{"rescale_every_n_layers", kIgnored, "rescaled layers"},
    KnownKey{"residual_scale", kIgnored, "a scaled residual stream", is_zero_or_one},
    KnownKey{"rope.dimension_sections", kIgnored, "positions of several axes"},
    KnownKey{"rope.freq_base_swa", kIgnored, "layers with a sliding window"},
    KnownKey{"rope.scaling.alpha", kIgnored, "NTK-aware position scaling", is_zero_or_one},
    KnownKey{"rope.scaling.yarn_", kIgnored, "settings of YaRN"},
    KnownKey{"router_logit_softcapping", kIgnored, "a soft cap on the router"},
    KnownKey{"sample_from_anchor", kIgnored, "another head"},
    KnownKey{"selector_", kIgnored, "another head"},
    KnownKey{"shortconv.", kIgnored, "convolutions"},
    KnownKey{"skip_loop_final_norm", kIgnored, "repeated layers"},
    KnownKey{"ssm.", kIgnored, "recurrent layers"},
    KnownKey{"swiglu_clamp_", kIgnored, "a clamped activation"},
    KnownKey{"swin_norm", kIgnored, "norms in other places"},
    KnownKey{"target_", kIgnored, "a draft model"},
    KnownKey{"time_decay_extra_dim", kIgnored, "recurrent layers"},
    KnownKey{"time_mix_extra_dim", kIgnored, "recurrent layers"},
    KnownKey{"token_shift_count", kIgnored, "recurrent layers"},
    KnownKey{"use_parallel_residual", kIgnored, "attention beside the feed-forward layer"},
    KnownKey{"wkv.", kIgnored, "recurrent layers"},
};

constexpr std::array kGeneralKeys = {
    KnownKey{"general.", kNone, "a description of the file"},
    KnownKey{"general.alignment", kRead, "where tensors lie"},
    KnownKey{"general.architecture", kRead, "the architecture"},
    KnownKey{"general.name", kRead, "the model's name"},
    KnownKey{"general.type", kRead, "the kind of file"},
    KnownKey{"imatrix.", kNone, "how the model was quantized"},
    KnownKey{"mradermacher.", kNone, "how the model was quantized"},
    KnownKey{"quantize.", kNone, "how the model was quantized"},
    KnownKey{"split.", kRead, "the files of the model"},
    KnownKey{"tokenizer.chat_template", kNone, "templates of chats"},
    KnownKey{"tokenizer.chat_templates", kNone, "templates of chats"},
    KnownKey{"tokenizer.chat_template.", kNone, "templates of chats"},
    KnownKey{"tokenizer.ggml.add_bos_token", kRead, "the vocabulary"},
    KnownKey{"tokenizer.ggml.add_eos_token", kRead, "the vocabulary"},
    KnownKey{"tokenizer.ggml.add_sep_token", kNone, "text pairs"},
    KnownKey{"tokenizer.ggml.add_space_prefix", kRead, "the vocabulary"},
    KnownKey{"tokenizer.ggml.bos_token_id", kRead, "the vocabulary"},
    KnownKey{"tokenizer.ggml.cls_token_id", kNone, "classification"},
    KnownKey{"tokenizer.ggml.eom_token_id", kRead, "the vocabulary"},
    KnownKey{"tokenizer.ggml.eos_token_id", kRead, "the vocabulary"},
    KnownKey{"tokenizer.ggml.eot_token_id", kRead, "the vocabulary"},
    KnownKey{"tokenizer.ggml.fim_", kNone, "text to be filled in"},
    KnownKey{"tokenizer.ggml.mask_token_id", kNone, "masked text"},
    KnownKey{"tokenizer.ggml.merges", kRead, "the vocabulary"},
    KnownKey{"tokenizer.ggml.middle_token_id", kNone, "text to be filled in"},
    KnownKey{"tokenizer.ggml.model", kRead, "the vocabulary"},
    KnownKey{"tokenizer.ggml.normalizer.", kIgnored, "text that is changed before it is tokenized"},
    KnownKey{"tokenizer.ggml.padding_token_id", kNone, "batches of unequal texts"},
    KnownKey{"tokenizer.ggml.pre", kRead, "the vocabulary"},
    KnownKey{"tokenizer.ggml.precompiled_charsmap", kNone, "tokenizers of another kind"},
    KnownKey{"tokenizer.ggml.prefix_token_id", kNone, "text to be filled in"},
    KnownKey{"tokenizer.ggml.remove_extra_whitespaces", kNone, "tokenizers of another kind"},
    KnownKey{"tokenizer.ggml.scores", kRead, "the vocabulary"},
    KnownKey{"tokenizer.ggml.seperator_token_id", kNone, "text pairs"},
    KnownKey{"tokenizer.ggml.suffix_token_id", kNone, "text to be filled in"},
    KnownKey{"tokenizer.ggml.suppress_tokens", kIgnored, "tokens that are never sampled"},
    KnownKey{"tokenizer.ggml.token_type", kRead, "the vocabulary"},
    KnownKey{"tokenizer.ggml.token_type_count", kNone, "text pairs"},
    KnownKey{"tokenizer.ggml.tokens", kRead, "the vocabulary"},
    KnownKey{"tokenizer.ggml.unknown_token_id", kRead, "the vocabulary"},
    KnownKey{"tokenizer.huggingface.", kNone, "another form of the vocabulary"},
    KnownKey{"tokenizer.rwkv.", kNone, "another form of the vocabulary"},
    KnownKey{"training.", kNone, "training"},

    KnownKey{"prism.hadamard.", kRefused, "transformed activations", nullptr},

    KnownKey{"adapter.", kIgnored, "an adapter"},
    KnownKey{"clip.", kIgnored, "images and sound"},
    KnownKey{"diffusion.", kIgnored, "text diffusion"},
    KnownKey{"lilicorr.", kIgnored, "another head"},
    KnownKey{"xielu.", kIgnored, "another activation"},
};

bool is_prefix(std::string_view name) {
    return name.ends_with('.') || name.ends_with('_');
}

}  // namespace

bool is_off(const KeyContext& context) {
    const GgufArray* array = context.value.array();
    if (array != nullptr && array->size() == 0) return true;
    const auto text = context.value.uniform<std::string_view>();
    return text ? text->empty() : is_any(context, {0});
}

std::span<const KnownKey> architecture_keys() {
    return kArchitectureKeys;
}

std::span<const KnownKey> general_keys() {
    return kGeneralKeys;
}

const KnownKey* find_key(std::span<const KnownKey> keys, std::string_view name) {
    const KnownKey* best = nullptr;
    for (const KnownKey& key : keys) {
        if (key.name == name) return &key;
        if (!is_prefix(key.name) || !name.starts_with(key.name)) continue;
        if (best == nullptr || key.name.size() > best->name.size()) best = &key;
    }
    return best;
}

}  // namespace vkmoe
