#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "text/tokenizer.h"
#include "unit/text_timing.h"
#include "unit/text_vocabularies.h"

namespace vkmoe {
namespace {

using Ids = std::vector<int32_t>;

// 256 "he", 257 "ll", 258 "llo", 259 "hello", 260 " w" (spelled with U+0120), 261 " wo"
VocabularyData hello_vocabulary(const std::string& pre = "gpt-2") {
    return byte_level_vocabulary(pre, {"h e", "l l", "ll o", "he llo", "\u0120 w", "\u0120w o"});
}

TEST(ByteLevelTokenizer, MergesByRankAndKeepsSpaces) {
    const auto tokenizer = make_tokenizer(hello_vocabulary());
    EXPECT_EQ(tokenizer->encode("hello world", false, false), (Ids{259, 261, 'r', 'l', 'd'}));
    EXPECT_EQ(tokenizer->encode("hell", false, false), (Ids{256, 257}));
    EXPECT_EQ(tokenizer->encode("helloo", false, false), (Ids{259, 'o'}));
    EXPECT_EQ(tokenizer->encode("  w", false, false), (Ids{' ', 260}));
    EXPECT_EQ(tokenizer->decode(Ids{259, 261, 'r', 'l', 'd'}, false), "hello world");
}

TEST(ByteLevelTokenizer, EqualMergesGoFromLeftToRight) {
    const auto tokenizer = make_tokenizer(byte_level_vocabulary("gpt-2", {"a a"}));
    EXPECT_EQ(tokenizer->encode("aaaaa", false, false), (Ids{256, 256, 'a'}));
}

TEST(ByteLevelTokenizer, LowerRankWinsOverPosition) {
    // "abc": (b c) is better than (a b) although it comes later.
    const auto tokenizer = make_tokenizer(byte_level_vocabulary("gpt-2", {"b c", "a b"}));
    EXPECT_EQ(tokenizer->encode("abc", false, false), (Ids{'a', 256}));
}

TEST(ByteLevelTokenizer, IgnoreMergesTakesWholeWords) {
    VocabularyData data = hello_vocabulary("llama-bpe");
    add_token(data, "xyz", TokenType::kNormal);
    EXPECT_EQ(make_tokenizer(data)->encode("xyz", false, false), (Ids{262}));
    data.pre = "gpt-2";
    EXPECT_EQ(make_tokenizer(data)->encode("xyz", false, false), (Ids{'x', 'y', 'z'}));
}

TEST(ByteLevelTokenizer, EmptyTextAndBeginAndEndTokens) {
    VocabularyData data = hello_vocabulary();
    add_token(data, "<s>", TokenType::kControl);
    add_token(data, "</s>", TokenType::kControl);
    data.bos = 262;
    data.eos = 263;
    EXPECT_EQ(make_tokenizer(data)->encode("", true, true), Ids{});
    data.add_bos = true;
    data.add_eos = true;
    EXPECT_EQ(make_tokenizer(data)->encode("", true, true), (Ids{262, 263}));
    EXPECT_EQ(make_tokenizer(data)->encode("he", true, true), (Ids{262, 256, 263}));
    EXPECT_EQ(make_tokenizer(data)->encode("he", false, true), (Ids{256}));
    data.add_bos.reset();
    data.pre = "llama-bpe";  // whose default is to begin with it
    EXPECT_EQ(make_tokenizer(data)->encode("he", true, true), (Ids{262, 256, 263}));
}

TEST(ByteLevelTokenizer, SpecialTokensLongestFirstAndOnlyWhenAsked) {
    VocabularyData data = hello_vocabulary();
    add_token(data, "<|im|>", TokenType::kControl);             // 262
    add_token(data, "<|im|>user", TokenType::kControl);         // 263
    add_token(data, "    ", TokenType::kUserDefined);           // 264
    add_token(data, "\xE2\x96\x81z", TokenType::kUserDefined);  // 265
    const auto tokenizer = make_tokenizer(data);
    EXPECT_EQ(tokenizer->encode("he<|im|>user<|im|>he", false, true), (Ids{256, 263, 262, 256}));
    EXPECT_EQ(tokenizer->encode("<|im|><|im|", false, true), (Ids{262, '<', '|', 'i', 'm', '|'}));
    EXPECT_EQ(tokenizer->encode("<|im|>", false, false), (Ids{'<', '|', 'i', 'm', '|', '>'}));
    EXPECT_EQ(tokenizer->encode("a     b", false, false), (Ids{'a', 264, ' ', 'b'}));
    EXPECT_EQ(tokenizer->token_bytes(262, false), "");
    EXPECT_EQ(tokenizer->token_bytes(262, true), "<|im|>");
    EXPECT_EQ(tokenizer->token_bytes(264, false), "    ");
    EXPECT_EQ(tokenizer->token_bytes(265, false), "\xE2\x96\x81z");
    EXPECT_EQ(tokenizer->token_text(260), "\u0120w");
    EXPECT_EQ(tokenizer->token_bytes(260, false), " w");
}

TEST(ByteLevelTokenizer, NormalizesWhereTheModelDoes) {
    const std::string decomposed = "e\xCC\x81";  // e and U+0301
    const auto qwen = make_tokenizer(byte_level_vocabulary("qwen2", {"a a"}));
    EXPECT_EQ(qwen->encode(decomposed, false, false), (Ids{0xC3, 0xA9}));
    const auto llama = make_tokenizer(byte_level_vocabulary("llama-bpe", {"a a"}));
    EXPECT_EQ(llama->encode(decomposed, false, false), (Ids{'e', 0xCC, 0x81}));
}

TEST(ByteLevelTokenizer, InvalidUtf8ComesBackByteForByte) {
    const auto tokenizer = make_tokenizer(hello_vocabulary("qwen2"));
    EXPECT_EQ(tokenizer->encode("he\xFF\xFEhe", false, false), (Ids{256, 0xFF, 0xFE, 256}));
    std::mt19937 random(7);
    for (int round = 0; round < 300; ++round) {
        std::string bytes;
        for (int i = 0; i < 40; ++i)
            bytes += static_cast<char>(random() % 3 == 0 ? random() % 128 : 0xC0 + random() % 64);
        bytes += '\xE2';  // a character cut short
        EXPECT_EQ(tokenizer->decode(tokenizer->encode(bytes, false, false), false), bytes);
    }
}

TEST(ByteLevelTokenizer, InvalidBytesMerge) {
    // 256 is the first two bytes of U+2581 and its like.
    const auto tokenizer = make_tokenizer(byte_level_vocabulary("gpt-2", {"\u00E2 \u0138"}));
    EXPECT_EQ(tokenizer->encode("a\xE2\x96", false, false), (Ids{'a', 256}));
}

TEST(ByteLevelTokenizer, ByteWithoutTokenIsUnknownOrNothing) {
    VocabularyData data = hello_vocabulary();
    data.tokens['q'] = "[was q]";
    EXPECT_EQ(make_tokenizer(data)->encode("aqb", false, false), (Ids{'a', 'b'}));
    add_token(data, "<unk>", TokenType::kUnknown);
    data.unknown = 262;
    EXPECT_EQ(make_tokenizer(data)->encode("aqb", false, false), (Ids{'a', 262, 'b'}));
}

TEST(ByteLevelTokenizer, LongWordIsNotQuadratic) {
    std::vector<std::string> merges;
    std::string piece = "a";
    for (int i = 0; i < 6; ++i, piece += piece) merges.push_back(piece + " " + piece);
    const auto tokenizer = make_tokenizer(byte_level_vocabulary("qwen2", merges));
    const double start = cpu_seconds();
    const Ids ids = tokenizer->encode(std::string(size_t{1} << 20, 'a'), false, false);
    const double seconds = cpu_seconds() - start;
    EXPECT_EQ(ids, Ids(size_t{1} << 14, 261));
    EXPECT_LT(seconds, kSecondsLimit);
}

TEST(ByteLevelTokenizer, EndOfGeneration) {
    VocabularyData data = hello_vocabulary();
    add_token(data, "<|im_end|>", TokenType::kControl);  // 262
    add_token(data, "<|end|>", TokenType::kControl);     // 263
    add_token(data, "<|x|>", TokenType::kControl);       // 264
    data.eos = 264;
    data.eot = 259;
    const auto tokenizer = make_tokenizer(data);
    for (const int32_t id : {262, 263, 264, 259}) EXPECT_TRUE(tokenizer->is_end_of_generation(id)) << id;
    for (const int32_t id : {0, 256, -1, 9999}) EXPECT_FALSE(tokenizer->is_end_of_generation(id)) << id;
    add_token(data, "<|call|>", TokenType::kControl);  // as in gpt-oss, where <|end|> ends a message only
    EXPECT_FALSE(make_tokenizer(data)->is_end_of_generation(263));
    EXPECT_TRUE(make_tokenizer(data)->is_end_of_generation(265));
}

std::string message_of(const VocabularyData& data, ErrorCode code) {
    try {
        make_tokenizer(data);
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), code);
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
        return error.what();
    }
    ADD_FAILURE() << "no error";
    return "";
}

TEST(ByteLevelTokenizer, ErrorsNameTheKey) {
    VocabularyData data = hello_vocabulary();
    data.model = "rwkv";
    EXPECT_NE(message_of(data, ErrorCode::kUnsupported).find("tokenizer.ggml.model is 'rwkv'"),
              std::string::npos);
    data = hello_vocabulary("no-such");
    const std::string message = message_of(data, ErrorCode::kUnsupported);
    for (const char* part : {"tokenizer.ggml.pre", "'no-such'", "qwen2", "deepseek-v3", "llama-bpe"}) {
        EXPECT_NE(message.find(part), std::string::npos) << part;
    }
    data = hello_vocabulary();
    data.merges.clear();
    EXPECT_NE(message_of(data, ErrorCode::kBadFile).find("tokenizer.ggml.merges"), std::string::npos);
    data.merges = {"h e", "hello"};
    EXPECT_NE(message_of(data, ErrorCode::kBadFile).find("tokenizer.ggml.merges[1]"), std::string::npos);
    data = hello_vocabulary();
    data.types.pop_back();
    EXPECT_NE(message_of(data, ErrorCode::kBadFile).find("tokenizer.ggml.token_type"), std::string::npos);
    data = hello_vocabulary();
    data.tokens.clear();
    EXPECT_NE(message_of(data, ErrorCode::kBadFile).find("tokenizer.ggml.tokens"), std::string::npos);
    const auto tokenizer = make_tokenizer(hello_vocabulary());
    EXPECT_THROW(tokenizer->token_bytes(262, true), Error);
    EXPECT_THROW(tokenizer->token_text(-1), Error);
}

}  // namespace
}  // namespace vkmoe
