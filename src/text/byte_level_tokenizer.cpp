#include "text/byte_level_tokenizer.h"

#include <array>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "formats/gguf_value.h"
#include "text/merge.h"
#include "text/pre_tokenizer.h"
#include "text/unicode.h"

namespace vkmoe {
namespace {

class ByteLevelTokenizer : public Tokenizer {
  public:
    ByteLevelTokenizer(VocabularyData vocabulary, PreTokenizer pre_tokenizer)
        : Tokenizer(std::move(vocabulary), {pre_tokenizer.spec().add_bos, false}),
          pre_tokenizer_(std::move(pre_tokenizer)) {
        index_tokens();
        index_merges();
    }

    std::string token_bytes(int32_t id, bool render_special) const override {
        const std::string& text = token_text(id);
        switch (token_type(id)) {
            case TokenType::kControl:
            case TokenType::kUnknown:
                return render_special ? text : std::string();
            case TokenType::kUserDefined:  // spelled as it is, not in byte-level characters
                return text;
            default:
                return byte_level_decode(text);
        }
    }

  protected:
    void encode_text(std::string_view text, bool, std::vector<int32_t>& ids) const override {
        std::vector<MergePart> parts;
        while (!text.empty()) {
            const size_t valid = valid_utf8_prefix(text);
            if (valid != 0) encode_valid(text.substr(0, valid), parts, ids);
            text.remove_prefix(valid);
            size_t invalid = 0;
            while (invalid < text.size() && utf8_character_length(text.substr(invalid)) == 0) ++invalid;
            if (invalid != 0) encode_word(text.substr(0, invalid), parts, ids);
            text.remove_prefix(invalid);
        }
    }

  private:
    static uint64_t pair_key(int32_t left, int32_t right) {
        return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
    }

    void index_tokens() {
        tokens_.reserve(data().tokens.size());
        for (int32_t id = 0; id < vocab_size(); ++id) {
            if (token_type(id) != TokenType::kControl) tokens_.emplace(data().tokens[id], id);
        }
        for (uint32_t byte = 0; byte < 256; ++byte) {
            std::string spelled;
            append_utf8(spelled, byte_level_character(static_cast<uint8_t>(byte)));
            byte_ids_[byte] = find_token(spelled);
        }
    }

    void index_merges() {
        const std::vector<std::string>& merges = data().merges;
        if (merges.empty()) {
            fail(ErrorCode::kBadFile,
                 "tokenizer.ggml.merges is missing or empty, but tokenizer.ggml.model 'gpt2' needs it");
        }
        merges_.reserve(merges.size());
        for (size_t rank = 0; rank < merges.size(); ++rank) {
            const std::string_view merge = merges[rank];
            const size_t space = merge.find(' ', 1);
            if (space == std::string_view::npos || space + 1 == merge.size()) {
                fail(ErrorCode::kBadFile,
                     "tokenizer.ggml.merges[{}] is '{}', not two tokens separated by a space", rank,
                     printable(merge));
            }
            const int32_t left = find_token(merge.substr(0, space));
            const int32_t right = find_token(merge.substr(space + 1));
            const int32_t both =
                find_token(std::string(merge.substr(0, space)) + std::string(merge.substr(space + 1)));
            // Converters respell some added tokens, whose merges then name tokens that are no more.
            if (left < 0 || right < 0 || both < 0) continue;
            merges_.emplace(pair_key(left, right), Merge{static_cast<uint32_t>(rank), both});
        }
    }

    int32_t find_token(std::string_view text) const {
        const auto found = tokens_.find(text);
        return found == tokens_.end() ? -1 : found->second;
    }

    void encode_valid(std::string_view text, std::vector<MergePart>& parts, std::vector<int32_t>& ids) const {
        std::string normalized;
        if (pre_tokenizer_.spec().normalize_nfc) {
            normalized = normalize_nfc(text);
            text = normalized;
        }
        for (const std::string_view word : pre_tokenizer_.split(text)) encode_word(word, parts, ids);
    }

    void encode_word(std::string_view word, std::vector<MergePart>& parts, std::vector<int32_t>& ids) const {
        if (pre_tokenizer_.spec().ignore_merges) {
            std::string spelled;
            for (const char byte : word)
                append_utf8(spelled, byte_level_character(static_cast<uint8_t>(byte)));
            const int32_t id = find_token(spelled);
            if (id >= 0) {
                ids.push_back(id);
                return;
            }
        }
        parts.clear();
        const auto n = static_cast<int32_t>(word.size());
        for (int32_t i = 0; i < n; ++i) {
            parts.push_back({static_cast<uint32_t>(i), 1, byte_ids_[static_cast<uint8_t>(word[i])], i - 1,
                             i + 1 < n ? i + 1 : -1});
        }
        merge_parts(
            parts,
            [this](const MergePart& left, const MergePart& right) -> std::optional<Merge> {
                const auto found = merges_.find(pair_key(left.id, right.id));
                if (found == merges_.end()) return std::nullopt;
                return found->second;
            },
            [](const MergePart&, const MergePart&, int32_t) {});
        for (const MergePart& part : parts) {
            if (part.length == 0) continue;
            const int32_t id = part.id >= 0 ? part.id : unknown();
            if (id >= 0) ids.push_back(id);
        }
    }

    PreTokenizer pre_tokenizer_;
    std::unordered_map<std::string_view, int32_t> tokens_;  // views of data().tokens
    std::unordered_map<uint64_t, Merge> merges_;
    std::array<int32_t, 256> byte_ids_{};
};

}  // namespace

std::unique_ptr<Tokenizer> make_byte_level_tokenizer(VocabularyData data) {
    PreTokenizer pre_tokenizer(data.pre);
    return std::make_unique<ByteLevelTokenizer>(std::move(data), std::move(pre_tokenizer));
}

}  // namespace vkmoe
