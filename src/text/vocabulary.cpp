#include "text/vocabulary.h"

#include <charconv>
#include <limits>

#include "formats/gguf.h"

namespace vkmoe {
namespace {

/// Ids are stored with any integer type. One that int64_t cannot hold is no token's either.
int64_t token_id(const GgufFile& file, std::string_view key) {
    const GgufValue* value = file.find(key);
    if (value == nullptr) return -1;
    if (const std::optional<uint64_t> id = value->as<uint64_t>(); id && !value->as<int64_t>())
        return std::numeric_limits<int64_t>::max();
    return file.get<int64_t>(key);
}

/// The same, or the id that a file without the key means, where there is such a token.
int64_t token_id(const GgufFile& file, std::string_view key, size_t fallback, size_t n_tokens) {
    if (file.find(key) != nullptr) return token_id(file, key);
    return fallback < n_tokens ? static_cast<int64_t>(fallback) : -1;
}

std::optional<bool> flag(const GgufFile& file, std::string_view key) {
    if (file.find(key) == nullptr) return std::nullopt;
    return file.get<bool>(key);
}

}  // namespace

int byte_of_token(std::string_view text) {
    if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
    int byte = -1;
    const auto [end, error] = std::from_chars(text.data() + 3, text.data() + 5, byte, 16);
    return error == std::errc() && end == text.data() + 5 ? byte : -1;
}

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
    // Without the keys SentencePiece's own ids are meant.
    const size_t n_defaults = data.model == "llama" ? data.tokens.size() : 0;
    data.bos = token_id(file, "tokenizer.ggml.bos_token_id", 1, n_defaults);
    data.eos = token_id(file, "tokenizer.ggml.eos_token_id", 2, n_defaults);
    data.unknown = token_id(file, "tokenizer.ggml.unknown_token_id", 0, n_defaults);
    data.eot = token_id(file, "tokenizer.ggml.eot_token_id");
    data.eom = token_id(file, "tokenizer.ggml.eom_token_id");
    data.add_bos = flag(file, "tokenizer.ggml.add_bos_token");
    data.add_eos = flag(file, "tokenizer.ggml.add_eos_token");
    data.add_space_prefix = flag(file, "tokenizer.ggml.add_space_prefix");
    return data;
}

}  // namespace vkmoe
