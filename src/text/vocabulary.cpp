#include "text/vocabulary.h"

#include "formats/gguf.h"

namespace vkmoe {
namespace {

int32_t token_id(const GgufFile& file, std::string_view key, int32_t fallback) {
    return file.find(key) == nullptr ? fallback : file.get<int32_t>(key);
}

std::optional<bool> flag(const GgufFile& file, std::string_view key) {
    if (file.find(key) == nullptr) return std::nullopt;
    return file.get<bool>(key);
}

}  // namespace

VocabularyData read_vocabulary(const GgufFile& file) {
    VocabularyData data;
    data.model = file.get<std::string>("tokenizer.ggml.model");
    data.pre = file.get_or<std::string>("tokenizer.ggml.pre", "");
    data.tokens = file.get_array<std::string>("tokenizer.ggml.tokens");
    if (file.find("tokenizer.ggml.scores") != nullptr) {
        data.scores = file.get_array<float>("tokenizer.ggml.scores");
    }
    if (file.find("tokenizer.ggml.token_type") != nullptr) {
        data.types = file.get_array<int32_t>("tokenizer.ggml.token_type");
    }
    if (file.find("tokenizer.ggml.merges") != nullptr) {
        data.merges = file.get_array<std::string>("tokenizer.ggml.merges");
    }
    // SentencePiece's own ids are what a file that leaves the keys out means.
    const bool scored = data.model == "llama";
    data.bos = token_id(file, "tokenizer.ggml.bos_token_id", scored ? 1 : -1);
    data.eos = token_id(file, "tokenizer.ggml.eos_token_id", scored ? 2 : -1);
    data.unknown = token_id(file, "tokenizer.ggml.unknown_token_id", scored ? 0 : -1);
    data.eot = token_id(file, "tokenizer.ggml.eot_token_id", -1);
    data.eom = token_id(file, "tokenizer.ggml.eom_token_id", -1);
    data.add_bos = flag(file, "tokenizer.ggml.add_bos_token");
    data.add_eos = flag(file, "tokenizer.ggml.add_eos_token");
    data.add_space_prefix = flag(file, "tokenizer.ggml.add_space_prefix");
    return data;
}

}  // namespace vkmoe
