// Generation's end, and what of it is shown.

#include "engine/generate.h"

#include "kernels/kernel_fixture.h"
#include "model/tiny_models.h"
#include "unit/log_capture.h"
#include "unit/temp_folder.h"

#include <gtest/gtest.h>

namespace vkmoe {
namespace {

class GenerateTest : public testing::Test {
  protected:
    struct Told {
        GenerateEnd end;
        std::vector<int32_t> tokens;  // without the last call's -1
        std::string text;
    };

    void SetUp() override {
        make_tiny_file({.architecture = "qwen3moe", .seed = 7, .n_vocabulary = 300})
            .write(folder_ / "tiny.gguf");
        model_ = Model::load(folder_ / "tiny.gguf");
        data_ = read_vocabulary(model_->file());
    }

    /// Six tokens at most, greedily, after the same prompt.
    Told generate_with(const VocabularyData& data, bool ignore_end = false) {
        Session session(model_, {.n_context = 64, .kv_type = TensorType::kF32});
        std::vector<int32_t> history = {5, 6, 7};
        session.feed(history);
        GenerateParams params{.n_tokens = 6, .ignore_end = ignore_end};
        params.sampling.temperature = 0;
        Told told{};
        told.end = generate(session, *make_tokenizer(data), params, history,
                            [&](int32_t token, std::string_view text) {
                                if (token >= 0) told.tokens.push_back(token);
                                told.text += text;
                                return true;
                            });
        return told;
    }

    TempFolder folder_;
    std::shared_ptr<Model> model_;
    VocabularyData data_;
};

TEST_F(GenerateTest, EndsAtAnEndTokenOfAnyTypeAndShowsNothingOfIt) {
    const std::vector<int32_t> tokens = generate_with(data_, true).tokens;
    ASSERT_EQ(tokens.size(), 6U);
    const auto end = static_cast<size_t>(tokens[0]);
    for (const TokenType type : {TokenType::kUndefined, TokenType::kNormal, TokenType::kControl,
                                 TokenType::kUserDefined, TokenType::kUnused}) {
        VocabularyData data = data_;
        data.tokens[end] = "<|im_end|>";
        data.types[end] = static_cast<int32_t>(type);
        data.eos = -1;
        const Told told = generate_with(data);
        EXPECT_EQ(told.end, GenerateEnd::kEndOfText) << static_cast<int>(type);
        EXPECT_EQ(told.tokens, (std::vector<int32_t>{tokens[0]})) << static_cast<int>(type);
        EXPECT_EQ(told.text, "") << static_cast<int>(type);
    }
    VocabularyData untyped = data_;
    untyped.tokens[end] = "<|im_end|>";
    untyped.types.clear();
    EXPECT_EQ(generate_with(untyped).end, GenerateEnd::kEndOfText);
    EXPECT_EQ(generate_with(untyped).text, "");
}

TEST_F(GenerateTest, ShowsNothingOfAnEndTokenThatIsSpelledAsText) {
    const int32_t first = generate_with(data_, true).tokens.at(0);
    for (const bool made_by_merge : {false, true}) {
        VocabularyData data = data_;
        data.tokens[static_cast<size_t>(first)] = "ab";
        data.merges = {made_by_merge ? "a b" : "c d"};
        data.eos = first;
        const Told told = generate_with(data);
        EXPECT_EQ(told.end, GenerateEnd::kEndOfText);
        EXPECT_EQ(told.text, "");
        EXPECT_EQ(make_tokenizer(data)->token_bytes(first, false), made_by_merge ? "ab" : "");
    }
}

TEST_F(GenerateTest, AContextLongerThanTheTrainedOneBringsOneWarning) {
    const uint32_t trained = model_->hyper().n_context_train;
    const auto warnings = [&](uint32_t n_context) {
        LogCapture log;
        Session session(model_, {.n_context = n_context, .kv_type = TensorType::kF32});
        session.feed(std::vector<int32_t>(n_context, 5));
        return log.take();
    };
    EXPECT_EQ(count(warnings(trained), "trained"), 0U);
    const std::string longer = warnings(trained + 1);
    EXPECT_EQ(count(longer, "the context of 129 tokens is longer than the 128"), 1U) << longer;
    EXPECT_EQ(count(longer, "trained"), 1U) << longer;
}

}  // namespace
}  // namespace vkmoe
