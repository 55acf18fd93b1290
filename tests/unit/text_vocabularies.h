#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "text/unicode.h"
#include "text/vocabulary.h"

namespace vkmoe {

inline void add_token(VocabularyData& data, std::string text, TokenType type, float score = 0.0F) {
    data.tokens.push_back(std::move(text));
    data.types.push_back(static_cast<int32_t>(type));
    data.scores.push_back(score);
}

/// A byte-level vocabulary: ids 0 to 255 are the bytes, then one token a merge in their order.
inline VocabularyData byte_level_vocabulary(const std::string& pre, const std::vector<std::string>& merges) {
    VocabularyData data;
    data.model = "gpt2";
    data.pre = pre;
    for (int byte = 0; byte < 256; ++byte) {
        std::string text;
        append_utf8(text, byte_level_character(static_cast<uint8_t>(byte)));
        add_token(data, text, TokenType::kNormal);
    }
    for (const std::string& merge : merges) {
        std::string token = merge;
        token.erase(token.find(' ', 1), 1);
        add_token(data, token, TokenType::kNormal);
    }
    data.merges = merges;
    return data;
}

/// A SentencePiece vocabulary: 0 <unk>, 1 <s>, 2 </s>, 3 to 258 the bytes, then `pieces` with falling scores.
inline VocabularyData score_vocabulary(const std::vector<std::string>& pieces) {
    VocabularyData data;
    data.model = "llama";
    data.unknown = 0;
    data.bos = 1;
    data.eos = 2;
    add_token(data, "<unk>", TokenType::kUnknown);
    add_token(data, "<s>", TokenType::kControl);
    add_token(data, "</s>", TokenType::kControl);
    for (int byte = 0; byte < 256; ++byte) {
        const char* digits = "0123456789ABCDEF";
        add_token(data, std::string("<0x") + digits[byte / 16] + digits[byte % 16] + ">", TokenType::kByte);
    }
    float score = 0.0F;
    for (const std::string& piece : pieces) add_token(data, piece, TokenType::kNormal, score -= 1.0F);
    return data;
}

}  // namespace vkmoe
