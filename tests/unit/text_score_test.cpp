#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "text/tokenizer.h"
#include "unit/text_timing.h"
#include "unit/text_vocabularies.h"

namespace vkmoe {
namespace {

using Ids = std::vector<int32_t>;

// 259 U+2581, 260 a, 261 b, 262 c, 263 ab, 264 bc, 265 U+2581 a, 266 abc; earlier pieces score higher.
VocabularyData abc_vocabulary() {
    return score_vocabulary({"\u2581", "a", "b", "c", "ab", "bc", "\u2581a", "abc"});
}

int32_t byte_id(unsigned byte) {
    return 3 + static_cast<int32_t>(byte);
}

TEST(ScoreTokenizer, MergesByScore) {
    const auto tokenizer = make_tokenizer(abc_vocabulary());
    EXPECT_EQ(tokenizer->encode("bc", false, false), (Ids{259, 264}));
    // (a b) scores higher than (U+2581 a), and then (ab c) is there.
    EXPECT_EQ(tokenizer->encode("abc", false, false), (Ids{259, 266}));
    EXPECT_EQ(tokenizer->encode("a a", false, false), (Ids{265, 265}));
    EXPECT_EQ(tokenizer->decode(Ids{265, 265}, false), "a a");
    EXPECT_EQ(tokenizer->token_bytes(265, false), " a");
}

TEST(ScoreTokenizer, BeginTokenAndSpacePrefix) {
    VocabularyData data = abc_vocabulary();
    EXPECT_EQ(make_tokenizer(data)->encode("", true, false), (Ids{1}));
    EXPECT_EQ(make_tokenizer(data)->encode("a", true, false), (Ids{1, 265}));
    EXPECT_EQ(make_tokenizer(data)->encode("a</s>a", true, true), (Ids{1, 265, 2, 265}));
    data.add_space_prefix = false;
    data.add_bos = false;
    data.add_eos = true;
    EXPECT_EQ(make_tokenizer(data)->encode("a", true, false), (Ids{260, 2}));
}

TEST(ScoreTokenizer, ControlTokensAreNeverMadeOfText) {
    VocabularyData data = score_vocabulary({"<", "s", ">", "<s", "s>"});
    data.add_space_prefix = false;
    EXPECT_EQ(make_tokenizer(data)->encode("<s>", false, false), (Ids{262, 261}));
    EXPECT_EQ(make_tokenizer(data)->encode("<s>", false, true), (Ids{1}));
}

TEST(ScoreTokenizer, ByteFallback) {
    const auto tokenizer = make_tokenizer(abc_vocabulary());
    EXPECT_EQ(tokenizer->encode("a\u00E9\n", false, false),
              (Ids{265, byte_id(0xC3), byte_id(0xA9), byte_id('\n')}));
    EXPECT_EQ(tokenizer->token_bytes(byte_id(0xC3), false), "\xC3");
    EXPECT_EQ(tokenizer->encode("a\xFF", false, false), (Ids{265, byte_id(0xFF)}));
}

TEST(ScoreTokenizer, WithoutByteTokensRunsOfUnknownCharactersAreOneUnknownToken) {
    VocabularyData data = abc_vocabulary();
    for (int32_t& type : data.types) {
        if (type == static_cast<int32_t>(TokenType::kByte)) type = static_cast<int32_t>(TokenType::kControl);
    }
    EXPECT_EQ(make_tokenizer(data)->encode("xyaz", false, false), (Ids{259, 0, 260, 0}));
    data.unknown = -1;
    EXPECT_EQ(make_tokenizer(data)->encode("xyaz", false, false), (Ids{259, 260}));
}

TEST(ScoreTokenizer, UnusedTokensAreTakenApart) {
    VocabularyData data = abc_vocabulary();
    data.types[266] = static_cast<int32_t>(TokenType::kUnused);
    EXPECT_EQ(make_tokenizer(data)->encode("abc", false, false), (Ids{259, 263, 262}));
}

TEST(ScoreTokenizer, GuessesTypesWhereThereAreNone) {
    VocabularyData data = abc_vocabulary();
    data.types.clear();
    const auto tokenizer = make_tokenizer(data);
    EXPECT_EQ(tokenizer->encode("a\n</s>", false, true), (Ids{265, byte_id('\n'), 2}));
    EXPECT_EQ(tokenizer->token_bytes(2, false), "");
}

TEST(ScoreTokenizer, RoundTripsAnyBytes) {
    const auto tokenizer = make_tokenizer(abc_vocabulary());
    std::mt19937 random(3);
    for (int round = 0; round < 300; ++round) {
        std::string bytes;
        for (int i = 0; i < 30; ++i)
            bytes += random() % 2 == 0 ? "abc  "[random() % 5] : static_cast<char>(random() % 256);
        EXPECT_EQ(tokenizer->decode(tokenizer->encode(bytes, true, false), false), bytes);
    }
}

TEST(ScoreTokenizer, LongTextIsNotQuadratic) {
    std::vector<std::string> pieces = {"\u2581"};
    std::string piece = "a";
    for (int i = 0; i < 7; ++i, piece += piece) pieces.push_back(piece);
    VocabularyData data = score_vocabulary(pieces);
    data.add_space_prefix = false;
    const auto tokenizer = make_tokenizer(data);
    const double start = cpu_seconds();
    const Ids ids = tokenizer->encode(std::string(size_t{1} << 20, 'a'), false, false);
    const double seconds = cpu_seconds() - start;
    EXPECT_EQ(ids, Ids(size_t{1} << 14, 266));
    EXPECT_LT(seconds, kSecondsLimit);
}

TEST(ScoreTokenizer, BadDataIsRefused) {
    VocabularyData data = abc_vocabulary();
    data.scores.clear();
    EXPECT_THROW(make_tokenizer(data), Error);
    data = abc_vocabulary();
    data.tokens[byte_id(5)] = "<0xZZ>";
    EXPECT_THROW(make_tokenizer(data), Error);
}

}  // namespace
}  // namespace vkmoe
