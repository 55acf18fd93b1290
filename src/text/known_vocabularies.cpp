#include "text/known_vocabularies.h"

#include <algorithm>
#include <array>

namespace vkmoe {
namespace {

using namespace std::string_view_literals;

// Ids and sizes are those of the published tokenizers. The names are those that llama.cpp's converter gives
// them. A vocabulary whose tokens leave its pre-tokenizer in doubt is not here: cl100k's is used with two,
// Mistral's Tekken and Cohere's with two each.
constexpr std::array kGpt2 = {KnownToken{50256, "<|endoftext|>"}, KnownToken{0, "!"}};
constexpr std::array kLlama3 = {KnownToken{128000, "<|begin_of_text|>"},
                                KnownToken{128001, "<|end_of_text|>"}};
constexpr std::array kLlama4 = {KnownToken{200000, "<|begin_of_text|>"},
                                KnownToken{200001, "<|end_of_text|>"}};
constexpr std::array kGptOss = {KnownToken{199999, "<|endoftext|>"}, KnownToken{200002, "<|return|>"}};
constexpr std::array kQwen2 = {KnownToken{151643, "<|endoftext|>"}, KnownToken{151644, "<|im_start|>"},
                               KnownToken{151645, "<|im_end|>"}};
constexpr std::array kDeepseekR1Qwen = {KnownToken{151643, "<｜end▁of▁sentence｜>"},
                                        KnownToken{151646, "<｜begin▁of▁sentence｜>"}};
constexpr std::array kQwen35 = {KnownToken{248044, "<|endoftext|>"}, KnownToken{248045, "<|im_start|>"},
                                KnownToken{248046, "<|im_end|>"}};
constexpr std::array kDeepseekLlm = {KnownToken{100000, "<｜begin▁of▁sentence｜>"},
                                     KnownToken{100001, "<｜end▁of▁sentence｜>"}};
constexpr std::array kDeepseekCoder = {KnownToken{32013, "<｜begin▁of▁sentence｜>"},
                                       KnownToken{32014, "<｜end▁of▁sentence｜>"}};
constexpr std::array kDeepseekV3 = {KnownToken{0, "<｜begin▁of▁sentence｜>"},
                                    KnownToken{1, "<｜end▁of▁sentence｜>"}};
constexpr std::array kOlmo = {KnownToken{50279, "<|endoftext|>"}, KnownToken{1, "<|padding|>"}};
constexpr std::array kStarcoder = {KnownToken{0, "<|endoftext|>"}, KnownToken{1, "<fim_prefix>"}};
constexpr std::array kGranite = {KnownToken{0, "<|end_of_text|>"}, KnownToken{1, "<fim_prefix>"}};
constexpr std::array kSmollm = {KnownToken{0, "<|endoftext|>"}, KnownToken{1, "<|im_start|>"},
                                KnownToken{2, "<|im_end|>"}};
constexpr std::array kFalcon = {KnownToken{0, ">>TITLE<<"}, KnownToken{11, "<|endoftext|>"}};
constexpr std::array kGlm4 = {KnownToken{151329, "<|endoftext|>"}, KnownToken{151331, "[gMASK]"}};
constexpr std::array kKimi = {KnownToken{163584, "[BOS]"}, KnownToken{163585, "[EOS]"},
                              KnownToken{163586, "<|im_end|>"}};
constexpr std::array kMinimax = {KnownToken{200020, "[e~["}};
constexpr std::array kLfm2 = {KnownToken{1, "<|startoftext|>"}, KnownToken{0, "<|pad|>"},
                              KnownToken{7, "<|im_end|>"}};

constexpr std::array kVocabularies = {
    KnownVocabulary{"gpt-2", 50257, 51200, kGpt2, false},
    KnownVocabulary{"llama-bpe", 128256, 129000, kLlama3, true},
    KnownVocabulary{"llama4", 202048, 203000, kLlama4, true},
    KnownVocabulary{"gpt-4o", 200019, 201088, kGptOss, false},
    KnownVocabulary{"qwen2", 151646, 153000, kQwen2, false},
    KnownVocabulary{"deepseek-r1-qwen", 151665, 153000, kDeepseekR1Qwen, true},
    KnownVocabulary{"qwen35", 248047, 249000, kQwen35, false},
    KnownVocabulary{"deepseek-llm", 100002, 103000, kDeepseekLlm, true},
    KnownVocabulary{"deepseek-coder", 32015, 33000, kDeepseekCoder, true},
    KnownVocabulary{"deepseek-v3", 128000, 130000, kDeepseekV3, true},
    KnownVocabulary{"olmo", 50280, 50432, kOlmo, false},
    KnownVocabulary{"starcoder", 49152, 49408, kStarcoder, false},
    KnownVocabulary{"refact", 49152, 49408, kGranite, false},
    KnownVocabulary{"smollm", 49152, 49408, kSmollm, false},
    KnownVocabulary{"falcon", 65024, 65200, kFalcon, false},
    KnownVocabulary{"glm4", 151343, 152000, kGlm4, false},
    KnownVocabulary{"kimi-k2", 163587, 163840, kKimi, false},
    KnownVocabulary{"minimax-m2", 200021, 200100, kMinimax, false},
    KnownVocabulary{"lfm2", 64400, 66000, kLfm2, true},
};

}  // namespace

std::span<const KnownVocabulary> known_vocabularies() {
    return kVocabularies;
}

const KnownVocabulary* recognize_vocabulary(const VocabularyData& data) {
    const auto fits = [&data](const KnownVocabulary& known) {
        if (data.tokens.size() < known.least_size || data.tokens.size() > known.most_size) return false;
        return std::ranges::all_of(known.tokens, [&data](const KnownToken& token) {
            return data.tokens[static_cast<size_t>(token.id)] == token.text;
        });
    };
    const auto found = std::ranges::find_if(kVocabularies, fits);
    return found == kVocabularies.end() ? nullptr : &*found;
}

}  // namespace vkmoe
