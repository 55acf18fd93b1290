#include "text/pre_tokenizer.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "unit/text_timing.h"

namespace vkmoe {
namespace {

std::vector<std::string> words(std::string_view name, std::string_view text) {
    const PreTokenizer pre_tokenizer(name);
    const auto pieces = pre_tokenizer.split(text);
    return {pieces.begin(), pieces.end()};
}

using Words = std::vector<std::string>;

TEST(PreTokenizer, EveryNameCompilesOnceAndKeepsAllText) {
    const std::string text =
        " It's 12345.67\t\r\n\r\n  na\u00EFve e\u0301 \u4E2D\u6587\u3042\u30A2 \uAC00\uB098 "
        "\u0905\u093E\u0902 "
        "\u0E44\u0E17\u0E22 \U0001F468\u200D\U0001F469 WE'LL camelCase ''' \u00A0\u2003\u180E x_y<=>z `a`   ";
    std::set<std::string_view> seen;
    for (const PreTokenizerSpec& spec : pre_tokenizer_specs()) {
        for (const std::string_view name : spec.names) {
            EXPECT_TRUE(seen.insert(name).second) << name;
            std::string joined;
            for (const std::string& word : words(name, text)) {
                EXPECT_FALSE(word.empty()) << name;
                joined += word;
            }
            EXPECT_EQ(joined, text) << name;
        }
    }
    EXPECT_GT(seen.size(), 50U);
}

TEST(PreTokenizer, UnknownNameListsTheKnown) {
    try {
        PreTokenizer("future-1");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
        EXPECT_NE(std::string(error.what()).find("kimi-k2"), std::string::npos);
    }
}

TEST(PreTokenizer, EmptyTextHasNoWords) {
    EXPECT_EQ(words("qwen2", ""), Words{});
}

TEST(PreTokenizer, Gpt2) {
    EXPECT_EQ(words("gpt-2", "It's  12a  \n"), (Words{"It", "'s", " ", " 12", "a", "  \n"}));
    EXPECT_EQ(words("gpt-2", "IT'S"), (Words{"IT", "'", "S"}));
}

TEST(PreTokenizer, DigitsApartByFamily) {
    EXPECT_EQ(words("qwen2", "a 1234"), (Words{"a", " ", "1", "2", "3", "4"}));
    EXPECT_EQ(words("llama-bpe", "a 1234"), (Words{"a", " ", "123", "4"}));
    EXPECT_EQ(words("starcoder", "a 12"), (Words{"a", " ", "1", "2"}));
    EXPECT_EQ(words("afmoe", "1234567 12 123"), (Words{"1", "234", "567", " ", "12", " ", "123"}));
    EXPECT_EQ(words("tiny_aya", "1234567"), (Words{"1", "234", "567"}));
}

TEST(PreTokenizer, Llama3ContractionsOfAnyCase) {
    EXPECT_EQ(words("llama-bpe", "WE'LL\n\n x"), (Words{"WE", "'LL", "\n\n", " x"}));
}

TEST(PreTokenizer, Gpt4oKeepsContractionsAndSplitsCase) {
    EXPECT_EQ(words("gpt-4o", "camelCase WE'LL"), (Words{"camel", "Case", " WE'LL"}));
    EXPECT_EQ(words("tekken", "WE'LL"), (Words{"WE", "'LL"}));
}

TEST(PreTokenizer, KimiTakesHanApart) {
    EXPECT_EQ(words("kimi-k2", "abc\u4E2D\u6587def iPhone"),
              (Words{"abc", "\u4E2D\u6587", "def", " i", "Phone"}));
}

TEST(PreTokenizer, Deepseek) {
    EXPECT_EQ(words("deepseek-v3", "1234\u4E2D\u3042x"), (Words{"123", "4", "\u4E2D\u3042", "x"}));
    EXPECT_EQ(words("deepseek-llm", "a\nb  "), (Words{"a", "\n", "b", "  "}));
}

TEST(PreTokenizer, MongolianVowelSeparatorIsNoWhiteSpace) {
    // U+180E has been a format character since Unicode 6.3; what follows a space is then no run of spaces.
    EXPECT_EQ(words("gpt-2", "a\u180Eb"), (Words{"a", "\u180E", "b"}));
    EXPECT_EQ(words("gpt-2", "a \u180E"), (Words{"a", " \u180E"}));
}

TEST(PreTokenizer, NewestPictographsAreSymbols) {
    // U+1FABF is of Unicode 15.
    EXPECT_EQ(words("deepseek-v3", "a \U0001FABF!"), (Words{"a", " \U0001FABF!"}));
}

TEST(PreTokenizer, DigitGroupsEndAtMarks) {
    EXPECT_EQ(words("tiny_aya", "a  6"), (Words{"a", "  ", "6"}));
    // With a combining tilde the 6 is no number for the first rule, and the second then sees the spaces
    // before it.
    EXPECT_EQ(words("tiny_aya", "a  6\u0303"), (Words{"a", " ", " ", "6", "\u0303"}));
}

TEST(PreTokenizer, LongRunsStayFast) {
    const std::string base[] = {"a", " ", "\n", ".", "\u4E2D", " a", "'", "\r\n "};
    for (const PreTokenizerSpec& spec : pre_tokenizer_specs()) {
        const PreTokenizer pre_tokenizer(spec.names[0]);
        for (const std::string& unit : base) {
            std::string text;
            while (text.size() < 200000) text += unit;
            text += "\u4E2D";
            const double start = cpu_seconds();
            std::string joined;
            for (const std::string_view word : pre_tokenizer.split(text)) joined += word;
            const double seconds = cpu_seconds() - start;
            EXPECT_EQ(joined, text) << spec.names[0];
            EXPECT_LT(seconds, kSecondsLimit) << spec.names[0] << ", run of '" << unit << "'";
        }
    }
}

}  // namespace
}  // namespace vkmoe
