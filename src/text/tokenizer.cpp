#include "text/tokenizer.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/error.h"
#include "formats/gguf.h"
#include "text/byte_level_tokenizer.h"
#include "text/score_tokenizer.h"

namespace vkmoe {
namespace {

using namespace std::string_view_literals;

// Texts by which published models mark the end of an answer, where no key of the file says so.
constexpr std::array kEndTexts = {
    "<|eot_id|>"sv,
    "<|eom_id|>"sv,
    "<|end_of_text|>"sv,  // Llama 3, Granite
    "<|im_end|>"sv,
    "<|endoftext|>"sv,  // ChatML, GPT-2, Qwen
    "<|end|>"sv,
    "<|return|>"sv,
    "<|call|>"sv,  // Phi, gpt-oss
    "<|calls|>"sv,
    "<|flush|>"sv,  // Solar Open
    "<end_of_turn>"sv,
    "<eos>"sv,
    "</s>"sv,  // Gemma, Llama 2
    "<EOT>"sv,
    "_<EOT>"sv,
    "<end_of_utterance>"sv,  // Refact, SmolVLM
    "[EOT]"sv,
    "[EOS]"sv,
    "[e~["sv,                   // Kimi, MiniMax
    "<｜end▁of▁sentence｜>"sv,  // DeepSeek
    "<|fim_pad|>"sv,
    "<|repo_name|>"sv,
    "<|file_sep|>"sv,  // Qwen's fill-in-the-middle
};

}  // namespace

Tokenizer::Tokenizer(VocabularyData data, Defaults defaults) : data_(std::move(data)) {
    check_sizes();
    check_id(data_.bos, "bos_token_id");
    check_id(data_.eos, "eos_token_id");
    check_id(data_.eot, "eot_token_id");
    check_id(data_.eom, "eom_token_id");
    check_id(data_.unknown, "unknown_token_id");
    add_bos_ = data_.add_bos.value_or(defaults.add_bos) && data_.bos >= 0;
    add_eos_ = data_.add_eos.value_or(false) && data_.eos >= 0;
    add_space_prefix_ = data_.add_space_prefix.value_or(defaults.add_space_prefix);
    find_special_tokens();
    find_end_tokens();
}

void Tokenizer::check_sizes() const {
    const size_t n = data_.tokens.size();
    if (n == 0 || n > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
        fail(ErrorCode::kBadFile, "tokenizer.ggml.tokens has {} tokens, which no tokenizer has", n);
    }
    if (!data_.types.empty() && data_.types.size() != n) {
        fail(ErrorCode::kBadFile, "tokenizer.ggml.token_type has {} elements for {} tokens",
             data_.types.size(), n);
    }
    if (!data_.scores.empty() && data_.scores.size() != n) {
        fail(ErrorCode::kBadFile, "tokenizer.ggml.scores has {} elements for {} tokens", data_.scores.size(),
             n);
    }
}

void Tokenizer::check_id(int32_t id, std::string_view key) const {
    if (id >= -1 && id < vocab_size()) return;
    fail(ErrorCode::kBadFile, "tokenizer.ggml.{} is {}, but there are {} tokens", key, id, vocab_size());
}

void Tokenizer::find_special_tokens() {
    for (int32_t id = 0; id < vocab_size(); ++id) {
        const TokenType type = token_type(id);
        if (type == TokenType::kUserDefined) user_defined_.add(data_.tokens[id], id);
        if (type == TokenType::kUserDefined || type == TokenType::kControl || type == TokenType::kUnknown) {
            all_special_.add(data_.tokens[id], id);
        }
    }
}

void Tokenizer::find_end_tokens() {
    // gpt-oss and Solar Open end a message, not the answer, with <|end|>.
    bool end_is_end = true;
    for (int32_t id = 0; id < vocab_size(); ++id) {
        const TokenType type = token_type(id);
        if (type != TokenType::kControl && type != TokenType::kUserDefined) continue;
        const std::string& text = data_.tokens[id];
        if (text == "<|call|>" || text == "<|calls|>") end_is_end = false;
        if (std::ranges::find(kEndTexts, text) != kEndTexts.end()) end_tokens_.insert(id);
    }
    if (!end_is_end) std::erase_if(end_tokens_, [&](int32_t id) { return data_.tokens[id] == "<|end|>"; });
    for (const int32_t id : {data_.eos, data_.eot, data_.eom}) {
        if (id >= 0) end_tokens_.insert(id);
    }
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special, bool parse_special) const {
    if (text.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
        fail(ErrorCode::kInvalidArgument,
             "a text of {} bytes is too long to tokenize at once; give it in parts", text.size());
    }
    const SpecialTokens& special = parse_special ? all_special_ : user_defined_;
    std::vector<int32_t> ids;
    if (add_special && add_bos_) ids.push_back(data_.bos);
    size_t position = 0;
    bool after_special = true;
    while (position < text.size()) {
        const SpecialTokens::Match match = special.find(text, position);
        if (match.begin > position) {
            encode_text(text.substr(position, match.begin - position), after_special, ids);
            after_special = false;
        }
        if (match.length != 0) {
            ids.push_back(match.id);
            after_special = true;
        }
        position = match.begin + match.length;
    }
    if (add_special && add_eos_) ids.push_back(data_.eos);
    return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool render_special) const {
    std::string out;
    bool at_start = true;
    for (const int32_t id : ids) {
        std::string bytes = token_bytes(id, render_special);
        const TokenType type = token_type(id);
        const bool is_text = type != TokenType::kControl && type != TokenType::kUnknown;
        if (at_start && is_text && add_space_prefix_ && bytes.starts_with(' ')) bytes.erase(0, 1);
        if (is_text) at_start = false;
        out += bytes;
    }
    return out;
}

const std::string& Tokenizer::token_text(int32_t id) const {
    if (id < 0 || id >= vocab_size()) {
        fail(ErrorCode::kInvalidArgument, "token id {} is out of range: the vocabulary has {} tokens", id,
             vocab_size());
    }
    return data_.tokens[id];
}

TokenType Tokenizer::token_type(int32_t id) const {
    if (data_.types.empty()) return TokenType::kNormal;
    const int32_t type = data_.types.at(static_cast<size_t>(id));
    return type >= 0 && type <= static_cast<int32_t>(TokenType::kByte) ? static_cast<TokenType>(type)
                                                                       : TokenType::kUndefined;
}

std::unique_ptr<Tokenizer> make_tokenizer(VocabularyData data) {
    if (data.model == "gpt2") return make_byte_level_tokenizer(std::move(data));
    if (data.model == "llama") return make_score_tokenizer(std::move(data));
    fail(ErrorCode::kUnsupported,
         "tokenizer.ggml.model is '{}', a kind of tokenizer that vkmoe does not have; it has gpt2 "
         "(byte-level BPE) "
         "and llama (SentencePiece)",
         printable(data.model));
}

std::unique_ptr<Tokenizer> make_tokenizer(const GgufFile& file) {
    VocabularyData data = read_vocabulary(file);  // names the file itself
    try {
        return make_tokenizer(std::move(data));
    } catch (const Error& error) {
        fail(error.code(), "{}: {}", file.path(), error.what());
    }
}

}  // namespace vkmoe
