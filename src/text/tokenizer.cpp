#include "text/tokenizer.h"

#include <limits>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "formats/gguf.h"
#include "text/byte_level_tokenizer.h"
#include "text/complete_vocabulary.h"
#include "text/score_tokenizer.h"

namespace vkmoe {

Tokenizer::Tokenizer(VocabularyData data, Defaults defaults)
    : data_(std::move(data)), end_tokens_(data_.end_tokens.begin(), data_.end_tokens.end()) {
    add_bos_ = data_.add_bos.value_or(defaults.add_bos) && data_.bos >= 0;
    add_eos_ = data_.add_eos.value_or(false) && data_.eos >= 0;
    add_space_prefix_ = data_.add_space_prefix.value_or(defaults.add_space_prefix);
    find_special_tokens();
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

void Tokenizer::warn_of_doubled(std::string_view place, int32_t id) const {
    if (warned_of_doubled_.test_and_set()) return;
    log_warn(
        "the text already has the {} token '{}' and the tokenizer adds another, so the model sees two; "
        "remove one",
        place, printable(token_text(id)));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special, bool parse_special) const {
    if (text.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
        fail(ErrorCode::kInvalidArgument,
             "a text of {} bytes is too long to tokenize at once; split it into parts", text.size());
    }
    const SpecialTokens& special = parse_special ? all_special_ : user_defined_;
    std::vector<int32_t> ids;
    if (add_special && add_bos_) ids.push_back(bos());
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
    const size_t n_added = add_special && add_bos_ ? 1 : 0;
    if (n_added != 0 && ids.size() > 1 && ids[1] == bos()) warn_of_doubled("begin", bos());
    if (add_special && add_eos_) {
        if (ids.size() > n_added && ids.back() == eos()) warn_of_doubled("end", eos());
        ids.push_back(eos());
    }
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
    token_text(id);  // throws for an id out of range
    const int32_t type = data_.types[static_cast<size_t>(id)];
    return type >= 0 && type <= static_cast<int32_t>(TokenType::kByte) ? static_cast<TokenType>(type)
                                                                       : TokenType::kUndefined;
}

namespace {

/// origin: begins every warning.
std::unique_ptr<Tokenizer> make_from(VocabularyData data, std::string_view origin) {
    const VocabularyFindings findings = complete_vocabulary(data);
    for (const std::string& warning : findings.warnings) log_warn("{}{}", origin, warning);
    if (data.model == "gpt2") return make_byte_level_tokenizer(std::move(data));
    if (data.model == "llama") return make_score_tokenizer(std::move(data));
    fail(ErrorCode::kUnsupported,
         "tokenizer.ggml.model is '{}', a kind of tokenizer that vkmoe does not support; it supports gpt2 "
         "(byte-level BPE) and llama (SentencePiece)",
         printable(data.model));
}

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(VocabularyData data) {
    return make_from(std::move(data), "");
}

std::unique_ptr<Tokenizer> make_tokenizer(const GgufFile& file) {
    VocabularyData data = read_vocabulary(file);  // names the file itself
    try {
        return make_from(std::move(data), file.path() + ": ");
    } catch (const Error& error) {
        fail(error.code(), "{}: {}", file.path(), error.what());
    }
}

}  // namespace vkmoe
