#include "text/complete_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>
#include <unordered_map>

#include "base/error.h"
#include "text/known_vocabularies.h"
#include "text/unicode.h"

namespace vkmoe {
namespace {

using namespace std::string_view_literals;

// Texts by which published models mark the end of an answer, where no key of the file says so.
constexpr std::array kEndTexts = {
    "<|eot_id|>"sv,
    "<|eom_id|>"sv,
    "<|end_of_text|>"sv,  // Llama 3, Granite
    "<|im_end|>"sv,
    "<|endoftext|>"sv,  // ChatML, GPT-2, Qwen
    "<|end|>"sv,        // Phi-3; see only_separates
    "<|return|>"sv,
    "<|call|>"sv,  // gpt-oss
    "<|calls|>"sv,
    "<|flush|>"sv,  // Solar Open
    "<end_of_turn>"sv,
    "<eos>"sv,
    "<turn|>"sv,
    "<|tool_response>"sv,  // Gemma
    "</s>"sv,              // Llama 2; see only_separates
    "<EOT>"sv,
    "_<EOT>"sv,
    "<end_of_utterance>"sv,  // Refact, SmolVLM
    "[EOT]"sv,
    "[EOS]"sv,
    "[e~["sv,                   // Kimi, MiniMax
    "<｜end▁of▁sentence｜>"sv,  // DeepSeek
};

// Fill-in-the-middle: these end a text too, but only where the file marks them as no text.
constexpr std::array kFillInEndTexts = {"<|fim_pad|>"sv, "<|repo_name|>"sv, "<|file_sep|>"sv};

constexpr int32_t number(TokenType type) {
    return static_cast<int32_t>(type);
}

void check_sizes(const VocabularyData& data) {
    const size_t n = data.tokens.size();
    if (n == 0 || n > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
        fail(ErrorCode::kBadFile, "tokenizer.ggml.tokens has {} tokens, which is not a valid vocabulary size",
             n);
    }
    if (!data.types.empty() && data.types.size() != n) {
        fail(ErrorCode::kBadFile, "tokenizer.ggml.token_type has {} elements for {} tokens",
             data.types.size(), n);
    }
    if (!data.scores.empty() && data.scores.size() != n) {
        fail(ErrorCode::kBadFile, "tokenizer.ggml.scores has {} elements for {} tokens", data.scores.size(),
             n);
    }
}

/// The tokens that text is cut into, which must stay text whatever else they mean.
class TextTokens {
  public:
    explicit TextTokens(const VocabularyData& data) : data_(data) {}

    /// Before the first call of contains.
    void ask_for(int32_t id) { made_by_merge_.emplace(data_.tokens[static_cast<size_t>(id)], false); }

    void look_through_merges() {
        if (data_.model != "gpt2" || made_by_merge_.empty()) return;
        size_t longest = 0;
        for (const auto& [text, made] : made_by_merge_) longest = std::max(longest, text.size());
        std::string both;
        for (const std::string& merge : data_.merges) {
            if (merge.size() > longest + 1) continue;
            const size_t space = merge.find(' ', 1);
            if (space == std::string::npos) continue;
            both.assign(merge, 0, space);
            both.append(merge, space + 1);
            if (const auto found = made_by_merge_.find(both); found != made_by_merge_.end())
                found->second = true;
        }
    }

    bool contains(int32_t id) const {
        const auto index = static_cast<size_t>(id);
        const std::string& text = data_.tokens[index];
        if (data_.model != "gpt2") return byte_of_token(text) >= 0;
        if (utf8_character_length(text) == text.size() && byte_level_decode(text).size() == 1) return true;
        const auto found = made_by_merge_.find(text);
        return found != made_by_merge_.end() && found->second;
    }

  private:
    const VocabularyData& data_;
    std::unordered_map<std::string_view, bool> made_by_merge_;
};

/// The types of a vocabulary that comes without: bytes by their spelling, special tokens by the ids given for
/// them.
std::vector<int32_t> guess_types(const VocabularyData& data) {
    std::vector<int32_t> types(data.tokens.size(), number(TokenType::kNormal));
    if (data.model != "llama") return types;
    for (size_t id = 0; id < types.size(); ++id)
        if (byte_of_token(data.tokens[id]) >= 0) types[id] = number(TokenType::kByte);
    if (data.bos >= 0) types[static_cast<size_t>(data.bos)] = number(TokenType::kControl);
    if (data.eos >= 0) types[static_cast<size_t>(data.eos)] = number(TokenType::kControl);
    if (data.unknown >= 0) types[static_cast<size_t>(data.unknown)] = number(TokenType::kUnknown);
    return types;
}

class Completion {
  public:
    explicit Completion(VocabularyData& data) : data_(data) {}

    VocabularyFindings run() {
        check_sizes(data_);
        drop_id(data_.bos, "bos_token_id");
        drop_id(data_.eos, "eos_token_id");
        drop_id(data_.eot, "eot_token_id");
        drop_id(data_.eom, "eom_token_id");
        drop_id(data_.unknown, "unknown_token_id");
        if (data_.types.empty()) data_.types = guess_types(data_);
        find_end_tokens();
        if (data_.model == "gpt2" && (data_.pre.empty() || data_.pre == "default")) name_pre_tokenizer();
        return std::move(findings_);
    }

  private:
    void drop_id(int64_t& id, std::string_view key) {
        if (id == -1 || (id >= 0 && id < static_cast<int64_t>(data_.tokens.size()))) return;
        findings_.warnings.push_back(fmt::format(
            "tokenizer.ggml.{} is {}, but the vocabulary has {} tokens; continuing without that token", key,
            id, data_.tokens.size()));
        id = -1;
    }

    bool has_text(std::string_view text) const {
        return std::ranges::find(data_.tokens, text) != data_.tokens.end();
    }

    bool is_marked(int32_t id) const {
        const int32_t type = data_.types[static_cast<size_t>(id)];
        return type == number(TokenType::kControl) || type == number(TokenType::kUserDefined);
    }

    /// Whether a text that ends the answers of some models means something else in this vocabulary.
    bool means_other(std::string_view text) const {
        // gpt-oss and Solar Open end a message with it and go on with the next.
        if (text == "<|end|>") return has_text("<|return|>") || has_text("<|call|>") || has_text("<|calls|>");
        // In Gemma's vocabularies it is a tag of HTML among others.
        if (text == "</s>") return has_text("<end_of_turn>") || has_text("<turn|>");
        return false;
    }

    void find_end_tokens() {
        data_.end_tokens.clear();
        std::vector<int32_t> by_text;
        for (int32_t id = 0; id < static_cast<int32_t>(data_.tokens.size()); ++id) {
            const std::string& text = data_.tokens[static_cast<size_t>(id)];
            const bool ends = std::ranges::find(kEndTexts, text) != kEndTexts.end() && !means_other(text);
            const bool ends_fill_in =
                is_marked(id) && std::ranges::find(kFillInEndTexts, text) != kFillInEndTexts.end();
            if (ends || ends_fill_in) by_text.push_back(id);
        }
        std::vector<int32_t> by_key;
        for (const int64_t id : {data_.eos, data_.eot, data_.eom})
            if (id >= 0) by_key.push_back(static_cast<int32_t>(id));

        TextTokens text_tokens(data_);
        for (const int32_t id : by_text) text_tokens.ask_for(id);
        for (const int32_t id : by_key) text_tokens.ask_for(id);
        text_tokens.look_through_merges();
        for (const int32_t id : by_text) {
            if (is_marked(id) || !text_tokens.contains(id)) end_with(id, !text_tokens.contains(id));
        }
        for (const int32_t id : by_key) end_with(id, !text_tokens.contains(id));
    }

    void end_with(int32_t id, bool is_control) {
        if (std::ranges::find(data_.end_tokens, id) == data_.end_tokens.end()) data_.end_tokens.push_back(id);
        if (is_control) data_.types[static_cast<size_t>(id)] = number(TokenType::kControl);
    }

    void name_pre_tokenizer() {
        const KnownVocabulary* known = recognize_vocabulary(data_);
        if (known == nullptr) {
            findings_.warnings.push_back(
                fmt::format("tokenizer.ggml.pre is {} and the vocabulary is not recognized; text is split by "
                            "the rules of 'default', so its tokens may differ from those that the model was "
                            "trained with; convert the model again or set tokenizer.ggml.pre",
                            data_.pre.empty() ? "missing" : "'default'"));
            data_.pre = "default";
            return;
        }
        data_.pre = known->pre;
        if (data_.bos < 0 && known->begins) data_.bos = known->tokens.front().id;
        findings_.pre_recognized = true;
    }

    VocabularyData& data_;
    VocabularyFindings findings_;
};

}  // namespace

VocabularyFindings complete_vocabulary(VocabularyData& data) {
    return Completion(data).run();
}

}  // namespace vkmoe
