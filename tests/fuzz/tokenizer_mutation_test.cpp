// Damages vocabularies, and the metadata that they come from, and tokenizes damaged texts with them. Each
// vocabulary must be read or refused with an Error, and ids and bytes must make sense; run it under
// -fsanitize=address,undefined to see reads outside the data too. VKMOE_TOKENIZER_MUTATION_SECONDS sets how
// long it goes on, VKMOE_TOKENIZER_MUTATION_SEED where it begins.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "long_form.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "text/unicode.h"
#include "text/utf8_stream.h"
#include "unit/text_vocabularies.h"

namespace vkmoe {
namespace {

constexpr double kShortSeconds = 10;

constexpr std::array kTexts = {"<|im_start|>",
                               "<|im_end|>",
                               "<|endoftext|>",
                               "</s>",
                               "<s>",
                               "<|end|>",
                               "<|call|>",
                               "<end_of_turn>",
                               "hello",
                               " world",
                               "It's",
                               "\n\n",
                               "  ",
                               "12345",
                               "\u4E2D\u6587",
                               "e\u0301",
                               "\U0001F468\u200D\U0001F469",
                               "\xFF",
                               "\xE2\x96",
                               "\u2581",
                               "<0x0A>",
                               "\u0120"};

class Mutations {
  public:
    explicit Mutations(uint64_t seed) : random_(seed) {}

    size_t below(size_t n) { return static_cast<size_t>(random_() % n); }
    bool one_in(size_t n) { return below(n) == 0; }

    std::string text(size_t n_parts) {
        std::string out;
        for (size_t i = 0; i < n_parts; ++i) {
            if (one_in(4)) {
                out += static_cast<char>(random_());
            } else {
                const std::string part = kTexts[below(kTexts.size())];
                for (size_t n = one_in(16) ? 1 + below(200) : 1; n > 0; --n) out += part;
            }
        }
        return out;
    }

    VocabularyData vocabulary() {
        VocabularyData data =
            one_in(2) ? byte_level() : score_vocabulary({"\u2581", "a", "b", "ab", "\u2581a", "ell", "<"});
        for (size_t n = below(6); n > 0; --n)
            add_token(data, kTexts[below(kTexts.size())], static_cast<TokenType>(below(7)), number());
        for (size_t n = below(5); n > 0; --n) damage(data);
        return data;
    }

    /// Changes bytes anywhere, the numbers of lengths among them.
    void damage(std::vector<std::byte>& bytes) {
        for (size_t n = below(4); n > 0; --n) bytes[below(bytes.size())] ^= std::byte{1} << below(8);
    }

  private:
    float number() {
        constexpr std::array kNumbers = {0.0F,
                                         -1.0F,
                                         1e30F,
                                         -1e30F,
                                         std::numeric_limits<float>::infinity(),
                                         std::numeric_limits<float>::quiet_NaN()};
        return kNumbers[below(kNumbers.size())];
    }

    VocabularyData byte_level() {
        const auto specs = pre_tokenizer_specs();
        const auto& names = specs[below(specs.size())].names;
        return byte_level_vocabulary(
            std::string(names[below(names.size())]),
            {"h e", "l l", "ll o", "he llo", "\u0120 w", "< /", "s >", "</ s>", "1 2"});
    }

    void damage(VocabularyData& data) {
        const auto id = [&]() -> int64_t {
            constexpr std::array<int64_t, 6> kIds = {
                -1, -2, 4294967295, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min(),
                0};
            return one_in(3) ? kIds[below(kIds.size())] : static_cast<int64_t>(below(data.tokens.size() + 2));
        };
        switch (below(14)) {
            case 0:
                data.bos = id();
                break;
            case 1:
                data.eos = id();
                break;
            case 2:
                data.eot = id();
                break;
            case 3:
                data.unknown = id();
                break;
            case 4:
                data.types.clear();
                break;
            case 5:
                data.scores.clear();
                break;
            case 6:
                data.merges.push_back(text(2) + " " + text(2));
                break;
            case 7:
                data.merges.push_back(text(1));
                break;
            case 8:
                data.pre = one_in(2) ? "" : text(1);
                break;
            case 9:
                data.add_bos = data.add_eos = one_in(2);
                break;
            case 10:
                data.add_space_prefix = one_in(2);
                break;
            case 11:
                data.tokens[below(data.tokens.size())] = one_in(4) ? "" : text(3);
                break;
            case 12:
                if (!data.types.empty())
                    data.types[below(data.types.size())] = static_cast<int32_t>(random_() % 12) - 3;
                break;
            default:
                if (!data.scores.empty()) data.scores[below(data.scores.size())] = number();
        }
    }

    std::mt19937_64 random_;
};

/// Everything that a tokenizer hands out makes sense.
void use(const Tokenizer& tokenizer, Mutations& mutations) {
    for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
        const bool hidden = tokenizer.token_type(id) == TokenType::kControl;
        ASSERT_TRUE(!hidden || tokenizer.token_bytes(id, false).empty()) << id;
        tokenizer.is_end_of_generation(id);
    }
    for (const int32_t id : {tokenizer.bos(), tokenizer.eos()}) {
        ASSERT_GE(id, -1);
        ASSERT_LT(id, tokenizer.vocab_size());
    }
    for (int i = 0; i < 4; ++i) {
        const std::string text = mutations.text(mutations.below(12));
        for (const bool special : {false, true}) {
            const std::vector<int32_t> ids = tokenizer.encode(text, special, special);
            ASSERT_EQ(ids, tokenizer.encode(text, special, special));
            Utf8Stream stream;
            std::string shown;
            for (const int32_t id : ids) {
                ASSERT_GE(id, 0);
                ASSERT_LT(id, tokenizer.vocab_size());
                shown += stream.push(tokenizer.token_bytes(id, false));
            }
            shown += stream.flush();
            ASSERT_EQ(valid_utf8_prefix(shown), shown.size());
            tokenizer.decode(ids, true);
        }
    }
}

bool is_a_good_error(const Error& error) {
    const std::string message = error.what();
    return !message.empty() && message.find('\n') == std::string::npos &&
           error.code() != ErrorCode::kInternal;
}

std::vector<std::byte> to_file(const VocabularyData& data) {
    GgufWriter writer;
    writer.set("general.architecture", "llama");
    writer.set("tokenizer.ggml.model", data.model);
    writer.set("tokenizer.ggml.pre", data.pre);
    writer.set_array("tokenizer.ggml.tokens", std::span<const std::string>(data.tokens));
    writer.set_array("tokenizer.ggml.token_type", data.types);
    writer.set_array("tokenizer.ggml.scores", data.scores);
    writer.set_array("tokenizer.ggml.merges", std::span<const std::string>(data.merges));
    writer.set("tokenizer.ggml.eos_token_id", static_cast<uint64_t>(data.eos));
    writer.set("tokenizer.ggml.bos_token_id", static_cast<uint64_t>(data.bos));
    return writer.to_bytes();
}

class TokenizerMutation : public testing::Test {
  protected:
    void SetUp() override {
        level_ = log_level();
        set_log_level(LogLevel::kOff);  // a warning or more a vocabulary
    }
    void TearDown() override { set_log_level(level_); }

    /// Half of the test's time each: round(mutations) says whether a tokenizer was made of it.
    template <typename Round>
    void repeat(const Round& round) {
        const char* given = std::getenv("VKMOE_TOKENIZER_MUTATION_SEED");
        uint64_t seed = given == nullptr ? 2026 : std::strtoull(given, nullptr, 10);
        const std::chrono::duration<double> time(
            test_seconds("VKMOE_TOKENIZER_MUTATION_SECONDS", kShortSeconds) / 2);
        const auto start = std::chrono::steady_clock::now();
        size_t n_made = 0;
        size_t n_rounds = 0;
        for (; std::chrono::steady_clock::now() - start < time || n_rounds < 20; ++n_rounds, ++seed) {
            SCOPED_TRACE("VKMOE_TOKENIZER_MUTATION_SEED=" + std::to_string(seed));
            Mutations mutations(seed);
            if (round(mutations)) ++n_made;
            if (HasFatalFailure() || HasNonfatalFailure()) return;
        }
        RecordProperty("rounds", static_cast<int>(n_rounds));
        std::printf("%zu vocabularies, of which %zu made a tokenizer\n", n_rounds, n_made);
        // Damage is harmless now and deadly then: both must have been met.
        EXPECT_GT(n_made, n_rounds / 20);
        EXPECT_LT(n_made, n_rounds);
    }

  private:
    LogLevel level_ = LogLevel::kWarn;
};

TEST_F(TokenizerMutation, DamagedVocabularies) {
    repeat([](Mutations& mutations) {
        try {
            const auto tokenizer = make_tokenizer(mutations.vocabulary());
            use(*tokenizer, mutations);
            return true;
        } catch (const Error& error) {
            EXPECT_TRUE(is_a_good_error(error)) << error.what();
            return false;
        }
    });
}

TEST_F(TokenizerMutation, DamagedFiles) {
    repeat([](Mutations& mutations) {
        std::vector<std::byte> bytes = to_file(mutations.vocabulary());
        mutations.damage(bytes);
        try {
            const auto tokenizer = make_tokenizer(GgufFile("mutated.gguf", bytes));
            use(*tokenizer, mutations);
            return true;
        } catch (const Error& error) {
            EXPECT_TRUE(is_a_good_error(error)) << error.what();
            return false;
        }
    });
}

}  // namespace
}  // namespace vkmoe
