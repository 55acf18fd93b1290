#include <gtest/gtest.h>

#include "text/unicode.h"
#include "text/utf8_stream.h"

namespace vkmoe {
namespace {

const std::string kReplacement = "\uFFFD";

std::string stream_bytewise(std::string_view bytes) {
    Utf8Stream stream;
    std::string out;
    for (const char byte : bytes) {
        const std::string part = stream.push({&byte, 1});
        EXPECT_EQ(valid_utf8_prefix(part), part.size());
        out += part;
    }
    return out + stream.flush();
}

TEST(Utf8Stream, HandsOutWholeCharactersOnly) {
    Utf8Stream stream;
    EXPECT_EQ(stream.push("a\xF0\x9F"), "a");
    EXPECT_EQ(stream.push("\x98"), "");
    EXPECT_EQ(stream.push("\x80z\xC3"), "\U0001F600z");
    EXPECT_EQ(stream.push("\xA9"), "\u00E9");
    EXPECT_EQ(stream.flush(), "");
    EXPECT_EQ(stream.push(""), "");
}

TEST(Utf8Stream, UnfinishedCharacterIsReplacedAtTheEnd) {
    Utf8Stream stream;
    EXPECT_EQ(stream.push("\xE4\xB8"), "");
    EXPECT_EQ(stream.flush(), kReplacement);
    EXPECT_EQ(stream.flush(), "");
    EXPECT_EQ(stream.push("b"), "b");
}

TEST(Utf8Stream, WhatCannotBecomeACharacterIsReplacedAtOnce) {
    Utf8Stream stream;
    EXPECT_EQ(stream.push("\xFF"), kReplacement);
    EXPECT_EQ(stream.push("\xE4\xB8"
                          "a"),
              kReplacement + "a");
    EXPECT_EQ(stream.push("\x80"), kReplacement);
    EXPECT_EQ(stream.push("\xED\xA0"), kReplacement + kReplacement);  // would be a surrogate
    EXPECT_EQ(stream.push("\xC0"), kReplacement);                     // would be overlong
    EXPECT_EQ(stream.push("\xF4\x90"), kReplacement + kReplacement);  // would be above U+10FFFF
    EXPECT_EQ(stream.flush(), "");
}

TEST(Utf8Stream, SameTextHoweverItIsCut) {
    const std::string text = "Gr\u00FC\u00DFe, \u043C\u0438\u0440, \u4E16\u754C \U0001F468\u200D\U0001F469 ";
    EXPECT_EQ(stream_bytewise(text), text);
    // The Unicode standard's example of maximal subparts (table 3-8).
    EXPECT_EQ(stream_bytewise("a\xF1\x80\x80\xE1\x80\xC2"
                              "b\x80"
                              "c\x80\xBF"
                              "d"),
              "a" + kReplacement + kReplacement + kReplacement + "b" + kReplacement + "c" + kReplacement +
                  kReplacement + "d");
}

TEST(Unicode, CharacterLength) {
    EXPECT_EQ(utf8_character_length("a"), 1U);
    EXPECT_EQ(utf8_character_length("\u00E9x"), 2U);
    EXPECT_EQ(utf8_character_length("\u4E2D"), 3U);
    EXPECT_EQ(utf8_character_length("\U0001F600"), 4U);
    EXPECT_EQ(utf8_character_length(std::string_view("\0", 1)), 1U);
    for (const char* bad :
         {"", "\x80", "\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF8\x88\x80\x80"}) {
        EXPECT_EQ(utf8_character_length(bad), 0U);
    }
}

TEST(Unicode, ByteLevelCharactersAreReversible) {
    for (unsigned byte = 0; byte < 256; ++byte) {
        std::string text;
        append_utf8(text, byte_level_character(static_cast<uint8_t>(byte)));
        EXPECT_EQ(byte_level_decode(text), std::string(1, static_cast<char>(byte)));
    }
    EXPECT_EQ(byte_level_character(' '), 0x120U);
    EXPECT_EQ(byte_level_character('a'), uint32_t{'a'});
    EXPECT_EQ(byte_level_decode("[PAD\u4E2D]"), "[PAD\u4E2D]");
}

TEST(Unicode, NormalizationComposes) {
    EXPECT_EQ(normalize_nfc("e\u0301"), "\u00E9");
    EXPECT_EQ(normalize_nfc("\u1112\u1161\u11AB"), "\uD55C");
    EXPECT_EQ(normalize_nfc(std::string_view("a\0b", 3)), std::string_view("a\0b", 3));
}

}  // namespace
}  // namespace vkmoe
