#include <gtest/gtest.h>

#include "base/error.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "text/tokenizer.h"
#include "unit/text_vocabularies.h"

namespace vkmoe {
namespace {

GgufWriter writer_for(const VocabularyData& data) {
    GgufWriter writer;
    writer.set("general.architecture", "llama");
    writer.set("tokenizer.ggml.model", data.model);
    if (!data.pre.empty()) writer.set("tokenizer.ggml.pre", data.pre);
    writer.set_array("tokenizer.ggml.tokens", std::span<const std::string>(data.tokens));
    writer.set_array("tokenizer.ggml.token_type", data.types);
    return writer;
}

std::unique_ptr<Tokenizer> read(const GgufWriter& writer) {
    const std::vector<std::byte> bytes = writer.to_bytes();
    return make_tokenizer(GgufFile("vocabulary.gguf", bytes));
}

TEST(TokenizerFromGguf, ByteLevelOutlivesItsFile) {
    const VocabularyData data = byte_level_vocabulary("qwen2", {"h i"});
    GgufWriter writer = writer_for(data);
    writer.set_array("tokenizer.ggml.merges", std::span<const std::string>(data.merges));
    writer.set("tokenizer.ggml.bos_token_id", uint32_t{65});
    writer.set("tokenizer.ggml.eos_token_id", uint32_t{66});
    writer.set("tokenizer.ggml.add_bos_token", true);
    const auto tokenizer = read(writer);
    EXPECT_EQ(tokenizer->encode("hi", true, true), (std::vector<int32_t>{65, 256}));
    EXPECT_EQ(tokenizer->vocab_size(), 257);
    EXPECT_EQ(tokenizer->bos(), 65);
    EXPECT_EQ(tokenizer->eos(), 66);
    EXPECT_TRUE(tokenizer->adds_bos());
    EXPECT_FALSE(tokenizer->adds_eos());
    EXPECT_TRUE(tokenizer->is_end_of_generation(66));
}

TEST(TokenizerFromGguf, SentencePieceHasDefaults) {
    const VocabularyData data = score_vocabulary({"\u2581", "a"});
    GgufWriter writer = writer_for(data);
    writer.set_array("tokenizer.ggml.scores", data.scores);
    const auto tokenizer = read(writer);
    EXPECT_EQ(tokenizer->encode("a", true, true), (std::vector<int32_t>{1, 259, 260}));
    EXPECT_EQ(tokenizer->eos(), 2);
}

TEST(TokenizerFromGguf, ErrorsNameFileAndKey) {
    const VocabularyData data = byte_level_vocabulary("no-such", {"h i"});
    GgufWriter writer = writer_for(data);
    writer.set_array("tokenizer.ggml.merges", std::span<const std::string>(data.merges));
    try {
        read(writer);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
        EXPECT_EQ(std::string(error.what()).find("vocabulary.gguf: tokenizer.ggml.pre is 'no-such'"), 0U);
    }
    GgufWriter empty;
    empty.set("general.architecture", "llama");
    try {
        read(empty);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kBadFile);
        EXPECT_NE(std::string(error.what()).find("tokenizer.ggml.model"), std::string::npos);
    }
}

}  // namespace
}  // namespace vkmoe
