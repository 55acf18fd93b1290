#include "model/file_check.h"

#include "base/error.h"
#include "model/known_keys.h"
#include "model/tensor_names.h"

#include <fmt/ranges.h>

#include <string_view>

namespace vkmoe {

namespace {

/// A file that is no model, by general.type or general.architecture.
std::string_view other_kind(const GgufFile& file) {
    const auto type = file.get_or<std::string>("general.type", "model");
    const auto architecture = file.get_or<std::string>("general.architecture", "");
    if (type == "adapter")
        return "a LoRA adapter, not a model; merge the adapter into its model with llama-export-lora";
    if (type == "imatrix") return "an importance matrix, not a model; llama-quantize reads such files";
    if (type == "mmproj" || architecture == "clip")
        return "the image or audio part of a multimodal model; give the file of the text model";
    if (architecture == "controlvector") return "a control vector, not a model";
    if (file.tensors().empty() && file.find("tokenizer.ggml.tokens") != nullptr)
        return "a vocabulary without weights; vkmoe tokenize reads such files";
    return {};
}

/// A layout that vkmoe knows and does not compute, by the name of one of its tensors.
std::string_view other_layout(std::string_view tensor) {
    if (is_single_expert(tensor))
        return "one tensor per expert, the layout of Mixtral files before April 2024, is not supported; get "
               "a newer file of the model";
    if (tensor.ends_with(".attn_qkv.weight"))
        return "a fused matrix of Q, K and V is not supported; convert the model with separate matrices";
    if (tensor.ends_with(".ffn_gate_up_exps.weight"))
        return "a fused matrix of gate and up is not supported; convert the model with separate matrices";
    if (tensor.ends_with(".scale") || tensor.ends_with(".input_scale"))
        return "separate scales of NVFP4 weights are not supported; get the model in another type";
    return {};
}

const KnownKey* known_key(std::string_view key, std::string_view architecture) {
    if (key.starts_with(architecture) && key.substr(architecture.size()).starts_with('.'))
        return find_key(architecture_keys(), key.substr(architecture.size() + 1));
    return find_key(general_keys(), key);
}

/// An error's text without the path that it begins with.
std::string without_path(std::string message, const GgufFile& file) {
    const std::string start = file.path() + ": ";
    return message.starts_with(start) ? message.substr(start.size()) : message;
}

}  // namespace

void check_kind(const GgufFile& file) {
    if (const std::string_view kind = other_kind(file); !kind.empty())
        fail(ErrorCode::kUnsupported, "{}: this is {}", file.path(), kind);
}

void check_layout(const GgufFile& file) {
    for (const GgufTensor& tensor : file.tensors()) {
        const std::string_view layout = other_layout(tensor.name);
        if (!layout.empty())
            fail(ErrorCode::kUnsupported, "{}: tensor '{}': {}", file.path(), printable(tensor.name), layout);
    }
}

std::vector<std::string> check_metadata(const GgufFile& file, const HyperParameters& hyper) {
    std::vector<std::string> warnings;
    std::vector<std::string> unknown;
    for (const GgufEntry& entry : file.entries()) {
        const KnownKey* known = known_key(entry.key, hyper.architecture);
        if (known == nullptr) {
            unknown.push_back(fmt::format("'{}'", printable(entry.key)));
            continue;
        }
        if (known->effect == KeyEffect::kRead || known->effect == KeyEffect::kNone) continue;
        if (known->is_neutral != nullptr && known->is_neutral({file, hyper, entry.value})) continue;
        if (known->effect == KeyEffect::kRefused) {
            fail(ErrorCode::kUnsupported,
                 "{}: key '{}' is {}: {} would change the result and is not supported; --ignore-key {} loads "
                 "the model without it",
                 file.path(), printable(entry.key), describe(entry.value), known->meaning,
                 printable(entry.key));
        }
        warnings.push_back(fmt::format("key '{}' ({}) is ignored, as llama.cpp ignores it for {}: {}",
                                       printable(entry.key), describe(entry.value), hyper.architecture,
                                       known->meaning));
    }
    if (unknown.size() == 1) warnings.push_back(fmt::format("unknown key {} is ignored", unknown[0]));
    if (unknown.size() > 1)
        warnings.push_back(fmt::format("unknown keys {} are ignored", fmt::join(unknown, ", ")));
    return warnings;
}

FileCheck check_file(const GgufFile& file) {
    FileCheck check;
    try {
        check_kind(file);
        const Architecture& architecture = find_architecture(file);
        check_layout(file);
        const HyperParameters hyper = architecture.read_hyper_parameters(file);
        check.warnings = check_metadata(file, hyper);
        Weights weights;
        WeightLoader loader(file);
        load_weights(loader, architecture, hyper, weights);
    } catch (const Error& error) {
        check.refusal = without_path(error.what(), file);
    }
    return check;
}

}  // namespace vkmoe
