// What a tokenizer makes of vocabularies whose files leave something out or have it wrong.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>

#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "text/complete_vocabulary.h"
#include "text/known_vocabularies.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "unit/log_capture.h"
#include "unit/text_vocabularies.h"

namespace vkmoe {
namespace {

using Ids = std::vector<int32_t>;

constexpr std::array kAnyType = {TokenType::kUndefined, TokenType::kNormal,      TokenType::kUnknown,
                                 TokenType::kControl,   TokenType::kUserDefined, TokenType::kUnused,
                                 TokenType::kByte};

int32_t last_id(const VocabularyData& data) {
    return static_cast<int32_t>(data.tokens.size()) - 1;
}

/// The token ends, is never shown, and is one id where special tokens are parsed and text where not.
void expect_end(const VocabularyData& data, int32_t id, const std::string& what) {
    const auto tokenizer = make_tokenizer(data);
    const std::string text = data.tokens[static_cast<size_t>(id)];
    EXPECT_TRUE(tokenizer->is_end_of_generation(id)) << what;
    EXPECT_EQ(tokenizer->token_type(id), TokenType::kControl) << what;
    EXPECT_EQ(tokenizer->token_bytes(id, false), "") << what;
    EXPECT_EQ(tokenizer->token_bytes(id, true), text) << what;
    EXPECT_EQ(tokenizer->encode(text, false, true), Ids{id}) << what;
    const Ids plain = tokenizer->encode(text, false, false);
    EXPECT_EQ(std::ranges::count(plain, id), 0) << what;
    EXPECT_EQ(tokenizer->decode(plain, false), text) << what;
}

TEST(EndTokens, KnownTextsEndWhateverTheirType) {
    for (const char* text : {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "</s>", "<end_of_turn>", "<turn|>",
                             "<|endoftext|>", "<|end_of_text|>", "<|return|>", "<|call|>", "<|end|>"}) {
        for (const TokenType type : kAnyType) {
            const std::string what = std::string(text) + " of type " + std::to_string(static_cast<int>(type));
            VocabularyData bytes = byte_level_vocabulary("gpt-2", {"h e"});
            add_token(bytes, text, type);
            expect_end(bytes, last_id(bytes), what);
            VocabularyData scored = score_vocabulary({"\u2581", "<", "a"});
            add_token(scored, text, type);
            if (std::string_view(text) == "</s>") scored.tokens[2] = "</end>";
            expect_end(scored, last_id(scored), what + ", SentencePiece");
        }
        VocabularyData untyped = byte_level_vocabulary("gpt-2", {"h e"});
        add_token(untyped, text, TokenType::kNormal);
        untyped.types.clear();
        expect_end(untyped, last_id(untyped), std::string(text) + " without types");
    }
}

TEST(EndTokens, KeysNameEndTokensWhateverTheirType) {
    for (const TokenType type : kAnyType) {
        for (int64_t VocabularyData::*key :
             {&VocabularyData::eos, &VocabularyData::eot, &VocabularyData::eom}) {
            VocabularyData data = byte_level_vocabulary("gpt-2", {"h e"});
            add_token(data, "<|done|>", type);
            data.*key = last_id(data);
            expect_end(data, last_id(data), "type " + std::to_string(static_cast<int>(type)));
        }
    }
}

TEST(EndTokens, OnlyEndTextsAreRetyped) {
    VocabularyData data = byte_level_vocabulary("gpt-2", {"h e"});
    for (const char* text : {"<|im_start|>", "<|file_sep|>", "<|fim_pad|>", "<s>", "[end]"})
        add_token(data, text, TokenType::kNormal);
    const auto tokenizer = make_tokenizer(data);
    for (int32_t id = 257; id <= last_id(data); ++id) {
        EXPECT_EQ(tokenizer->token_type(id), TokenType::kNormal) << data.tokens[static_cast<size_t>(id)];
        EXPECT_FALSE(tokenizer->is_end_of_generation(id)) << data.tokens[static_cast<size_t>(id)];
    }
}

TEST(EndTokens, EndSeparatesMessagesOnlyWhereHarmonyIs) {
    for (const char* other : {"<|return|>", "<|call|>", "<|calls|>"}) {
        VocabularyData data = byte_level_vocabulary("gpt-4o", {"h e"});
        add_token(data, "<|end|>", TokenType::kControl);
        EXPECT_TRUE(make_tokenizer(data)->is_end_of_generation(257));
        add_token(data, other, TokenType::kNormal);
        EXPECT_FALSE(make_tokenizer(data)->is_end_of_generation(257)) << other;
        EXPECT_TRUE(make_tokenizer(data)->is_end_of_generation(258)) << other;
    }
}

TEST(EndTokens, ATagOfHtmlIsNoEndInGemma) {
    VocabularyData data = score_vocabulary({"<", "a"});
    data.tokens[2] = "<eos>";
    add_token(data, "<end_of_turn>", TokenType::kControl);
    add_token(data, "</s>", TokenType::kUserDefined);
    const auto tokenizer = make_tokenizer(data);
    const int32_t tag = last_id(data);
    EXPECT_FALSE(tokenizer->is_end_of_generation(tag));
    EXPECT_EQ(tokenizer->token_bytes(tag, false), "</s>");
    EXPECT_TRUE(tokenizer->is_end_of_generation(tag - 1));
    EXPECT_TRUE(tokenizer->is_end_of_generation(2));
}

TEST(EndTokens, WhatTextIsMadeOfStaysText) {
    // A line feed as eos, and a byte-level token that merges make and that reads like an end.
    VocabularyData data = byte_level_vocabulary("gpt-2", {"< /", "s >", "</ s>"});
    data.eos = '\n';
    const auto tokenizer = make_tokenizer(data);
    EXPECT_TRUE(tokenizer->is_end_of_generation('\n'));
    EXPECT_EQ(tokenizer->encode("\n", false, false), Ids{'\n'});
    EXPECT_EQ(tokenizer->decode(Ids{'a', '\n'}, false), "a\n");
    EXPECT_FALSE(tokenizer->is_end_of_generation(last_id(data)));
    EXPECT_EQ(tokenizer->token_type(last_id(data)), TokenType::kNormal);
}

std::unique_ptr<Tokenizer> quiet_tokenizer(const VocabularyData& data, std::string* warnings) {
    LogCapture log;
    auto tokenizer = make_tokenizer(data);
    *warnings = log.take();
    return tokenizer;
}

TEST(SpecialIds, OnesThatNoTokenHasAreLeftOutWithOneWarning) {
    for (const int64_t bad : {int64_t{4294967295}, int64_t{257}, int64_t{-2}, int64_t{1} << 40}) {
        VocabularyData data = byte_level_vocabulary("gpt-2", {"h e"});
        data.bos = data.eos = data.eot = data.eom = data.unknown = bad;
        data.add_bos = data.add_eos = true;
        std::string warnings;
        const auto tokenizer = quiet_tokenizer(data, &warnings);
        EXPECT_EQ(tokenizer->encode("he", true, true), Ids{256});
        EXPECT_EQ(tokenizer->bos(), -1);
        EXPECT_EQ(tokenizer->eos(), -1);
        EXPECT_EQ(count(warnings, "\n"), 5U) << warnings;
        EXPECT_EQ(count(warnings, "tokenizer.ggml.eos_token_id is " + std::to_string(bad)), 1U) << warnings;
    }
}

TEST(SpecialIds, AnyIntegerOfAFileIsRead) {
    const VocabularyData data = byte_level_vocabulary("gpt-2", {"h e"});
    GgufWriter writer;
    writer.set("general.architecture", "llama");
    writer.set("tokenizer.ggml.model", data.model);
    writer.set("tokenizer.ggml.pre", data.pre);
    writer.set_array("tokenizer.ggml.tokens", std::span<const std::string>(data.tokens));
    writer.set_array("tokenizer.ggml.merges", std::span<const std::string>(data.merges));
    writer.set("tokenizer.ggml.bos_token_id", uint32_t{4294967295});
    writer.set("tokenizer.ggml.eos_token_id", std::numeric_limits<uint64_t>::max());
    writer.set("tokenizer.ggml.unknown_token_id", int32_t{-1});
    const std::vector<std::byte> bytes = writer.to_bytes();
    const GgufFile file("ids.gguf", bytes);
    LogCapture log;
    const auto tokenizer = make_tokenizer(file);
    const std::string warnings = log.take();
    EXPECT_EQ(count(warnings, "\n"), 2U) << warnings;  // -1 says that there is none
    EXPECT_EQ(count(warnings, "ids.gguf: tokenizer.ggml.bos_token_id is 4294967295, but"), 1U) << warnings;
    EXPECT_EQ(tokenizer->encode("he", true, true), Ids{256});
}

/// The vocabulary `known` as far as it is told by: its tokens in their places, one merge, fillers.
VocabularyData like(const KnownVocabulary& known) {
    VocabularyData data = byte_level_vocabulary("", {"h e"});
    for (size_t id = data.tokens.size(); id < known.least_size; ++id)
        add_token(data, "filler" + std::to_string(id), TokenType::kNormal);
    for (const KnownToken& token : known.tokens) {
        data.tokens[static_cast<size_t>(token.id)] = token.text;
        data.types[static_cast<size_t>(token.id)] = static_cast<int32_t>(TokenType::kControl);
    }
    return data;
}

TEST(MissingPreTokenizer, KnownVocabulariesAreRecognized) {
    for (const KnownVocabulary& known : known_vocabularies()) {
        for (const char* absent : {"", "default"}) {
            VocabularyData data = like(known);
            data.pre = absent;
            const VocabularyFindings findings = complete_vocabulary(data);
            EXPECT_EQ(data.pre, known.pre);
            EXPECT_TRUE(findings.pre_recognized) << known.pre;
            EXPECT_TRUE(findings.warnings.empty()) << known.pre << ": " << findings.warnings.front();
            EXPECT_NO_THROW(PreTokenizer{data.pre}) << known.pre;
        }
        VocabularyData smaller = like(known);
        smaller.tokens.pop_back();
        smaller.types.pop_back();
        smaller.scores.pop_back();
        EXPECT_FALSE(complete_vocabulary(smaller).pre_recognized) << known.pre;
    }
}

TEST(MissingPreTokenizer, Llama3KeepsItsBeginToken) {
    const auto known = std::ranges::find(known_vocabularies(), "llama-bpe", &KnownVocabulary::pre);
    VocabularyData data = like(*known);
    std::string warnings;
    for (const int64_t bos : {int64_t{128000}, int64_t{-1}}) {
        data.bos = bos;
        const auto tokenizer = quiet_tokenizer(data, &warnings);
        EXPECT_EQ(tokenizer->encode("he 1234", true, true), (Ids{128000, 256, ' ', '1', '2', '3', '4'}));
        EXPECT_EQ(warnings, "");
    }
    data.add_bos = false;
    EXPECT_EQ(quiet_tokenizer(data, &warnings)->encode("he", true, true), Ids{256});
}

TEST(MissingPreTokenizer, UnknownVocabulariesBringOneWarning) {
    for (const char* absent : {"", "default"}) {
        std::string warnings;
        quiet_tokenizer(byte_level_vocabulary(absent, {"h e"}), &warnings);
        EXPECT_EQ(count(warnings, "\n"), 1U) << warnings;
        EXPECT_EQ(count(warnings, "tokenizer.ggml.pre is "), 1U) << warnings;
    }
    std::string warnings;
    quiet_tokenizer(byte_level_vocabulary("gpt-2", {"h e"}), &warnings);
    quiet_tokenizer(score_vocabulary({"a"}), &warnings);
    EXPECT_EQ(warnings, "");
}

TEST(DoubledTokens, AreKeptAndWarnedOfOnce) {
    VocabularyData data = byte_level_vocabulary("gpt-2", {"h e"});
    add_token(data, "<s>", TokenType::kControl);
    add_token(data, "</s>", TokenType::kControl);
    data.bos = 257;
    data.eos = 258;
    data.add_bos = data.add_eos = true;
    const auto warnings = [](const Tokenizer& tokenizer, const char* text, const Ids& ids, bool add_special) {
        LogCapture log;
        for (int again = 0; again < 3; ++again) EXPECT_EQ(tokenizer.encode(text, add_special, true), ids);
        return log.take();
    };
    std::string begun = warnings(*make_tokenizer(data), "<s>he", {257, 257, 256, 258}, true);
    EXPECT_EQ(count(begun, "\n"), 1U) << begun;
    EXPECT_EQ(count(begun, "begin token '<s>'"), 1U) << begun;
    std::string ended = warnings(*make_tokenizer(data), "he</s>", {257, 256, 258, 258}, true);
    EXPECT_EQ(count(ended, "\n"), 1U) << ended;
    EXPECT_EQ(count(ended, "end token '</s>'"), 1U) << ended;
    EXPECT_EQ(warnings(*make_tokenizer(data), "he", {257, 256, 258}, true), "");
    EXPECT_EQ(warnings(*make_tokenizer(data), "", {257, 258}, true), "");
    EXPECT_EQ(warnings(*make_tokenizer(data), "<s>he", {257, 256}, false), "");
    data.eos = 257;  // GPT-2 has one token for both
    EXPECT_EQ(warnings(*make_tokenizer(data), "", {257, 257}, true), "");
}

}  // namespace
}  // namespace vkmoe
