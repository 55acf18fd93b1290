#include "text/pre_tokenizer.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "long_form.h"
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
        EXPECT_NE(std::string(error.what()).find("; it supports a.x-4.0, afmoe, "), std::string::npos)
            << error.what();
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

TEST(PreTokenizer, DigitGroupsDependOnWhatFollowsTheRun) {
    EXPECT_EQ(words("tiny_aya", "12345a"), (Words{"123", "45", "a"}));
    EXPECT_EQ(words("tiny_aya", "12345 6789_ 1234567."),
              (Words{"12", "345", " ", "678", "9", "_", " ", "1", "234", "567", "."}));
    EXPECT_EQ(words("tiny_aya", "\u0661\u06622345\u00B2"), (Words{"\u0661\u06622", "345", "\u00B2"}));
}

TEST(PreTokenizer, WhiteSpaceInPowersOfTwo) {
    EXPECT_EQ(words("jais-2", std::string(7, ' ') + "a"), (Words{"    ", "  ", " a"}));
    EXPECT_EQ(words("jais-2", "!\n   \n    a"), (Words{"!\n", "   \n", "  ", " ", " a"}));
    EXPECT_EQ(words("jais-2", std::string(1200, ' ') + "\n"), (Words{std::string(1200, ' ') + "\n"}));
}

TEST(PreTokenizer, RunsOfLettersOfAnyLengthAreOnePiece) {
    // 131,073 letters were more than the matcher's stack held, and came out in pieces of 16,384 bytes.
    for (const std::string_view unit : {"a", "a ", "e\u0301", "\u0915\u093E"}) {
        std::string text;
        while (text.size() < (size_t{1} << 20)) text += unit;
        text += "a";
        EXPECT_EQ(words("exaone-moe", text).size(), 1U) << "run of '" << unit << "'";
        EXPECT_EQ(words("exaone-moe", "1" + text + "!"), (Words{"1", text, "!"}))
            << "run of '" << unit << "'";
    }
}

/// A megabyte of one thing after the other. The long form has more things, each with three ends.
std::vector<std::string> long_runs() {
    std::vector<std::string_view> units = {
        "a", "A", "7", " ", "\n", ".", "a ", "\u4E2D", "a1 \u4E2D.\n\u0301\U0001F600"};
    std::vector<std::string_view> ends = {"a"};
    if (is_long_form()) {
        units.insert(units.end(),
                     {"Aa", "'", " a", "7 ", "\r\n ", "!\n", "'s", "\u00A0", "\u0301", "\u0665"});
        ends.insert(ends.end(), {"", "\u4E2D"});
    }
    std::vector<std::string> texts = {std::string(size_t{1} << 20, '7')};
    for (const std::string_view unit : units) {
        std::string text;
        while (text.size() < (size_t{1} << 20)) text += unit;
        for (const std::string_view end : ends) texts.push_back(text + std::string(end));
    }
    return texts;
}

TEST(PreTokenizer, LongRunsStayFast) {
    const std::vector<std::string> texts = long_runs();
    for (const PreTokenizerSpec& spec : pre_tokenizer_specs()) {
        const PreTokenizer pre_tokenizer(spec.names[0]);
        for (const std::string& text : texts) {
            const double start = cpu_seconds();
            const std::vector<std::string_view> pieces = pre_tokenizer.split(text);
            const double seconds = cpu_seconds() - start;
            std::string joined;
            for (const std::string_view piece : pieces) joined += piece;
            EXPECT_TRUE(joined == text) << spec.names[0];
            EXPECT_LT(seconds, kSecondsLimit) << spec.names[0] << ", '" << text.substr(0, 4) << "...' to '"
                                              << text.substr(text.size() - 4) << "'";
        }
    }
}

/// The pieces without the just-in-time compiler, which some systems do not have.
std::vector<std::string_view> interpreted(const PreTokenizerSpec& spec, std::string_view text) {
    RegexMatcher matcher;
    std::vector<std::string_view> pieces = {text};
    for (const std::string_view rule : spec.rules) {
        const Regex regex(rule, false);
        std::vector<std::string_view> smaller;
        for (const std::string_view piece : pieces) matcher.split(regex, piece, smaller);
        pieces = std::move(smaller);
    }
    return pieces;
}

TEST(PreTokenizer, InterpretedMatchingGivesTheSamePieces) {
    for (const PreTokenizerSpec& spec : pre_tokenizer_specs()) {
        const PreTokenizer pre_tokenizer(spec.names[0]);
        for (const std::string_view unit : {"a", "a ", "7", " ", "a1 \u4E2D.\n\u0301\U0001F600 A's"}) {
            std::string text;
            while (text.size() < 200'000) text += unit;
            EXPECT_TRUE(pre_tokenizer.split(text) == interpreted(spec, text))
                << spec.names[0] << " '" << unit << "'";
        }
    }
}

}  // namespace
}  // namespace vkmoe
