#include "text/score_tokenizer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "formats/gguf_value.h"
#include "text/merge.h"
#include "text/unicode.h"

namespace vkmoe {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581, which stands for a space

/// A number that falls as the score rises.
uint32_t merge_order(float score) {
    const auto bits = std::bit_cast<uint32_t>(score + 0.0F);  // makes -0 and 0 the same
    constexpr uint32_t kSign = 0x80000000U;
    return (bits & kSign) != 0 ? bits : ~(bits | kSign);
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
    std::string out;
    out.reserve(text.size());
    while (true) {
        const size_t found = text.find(from);
        out.append(text.substr(0, found));
        if (found == std::string_view::npos) return out;
        out.append(to);
        text.remove_prefix(found + from.size());
    }
}

class ScoreTokenizer : public Tokenizer {
  public:
    explicit ScoreTokenizer(VocabularyData vocabulary) : Tokenizer(std::move(vocabulary), {true, true}) {
        if (data().scores.empty()) {
            fail(ErrorCode::kBadFile,
                 "tokenizer.ggml.scores is missing or empty, but tokenizer.ggml.model 'llama' needs it");
        }
        byte_ids_.fill(-1);
        for (const float score : data().scores) orders_.push_back(merge_order(score));
        for (int32_t id = 0; id < vocab_size(); ++id) index_token(id);
    }

    std::string token_bytes(int32_t id, bool render_special) const override {
        const std::string& text = token_text(id);
        switch (token_type(id)) {
            case TokenType::kControl:
            case TokenType::kUnknown:
                return render_special ? text : std::string();
            case TokenType::kByte:
                return std::string(1, static_cast<char>(byte_of_token(text)));
            default:
                return replace_all(text, kSpace, " ");
        }
    }

  protected:
    void encode_text(std::string_view text, bool after_special, std::vector<int32_t>& ids) const override {
        std::string escaped = after_special && add_space_prefix() ? std::string(kSpace) : std::string();
        escaped += replace_all(text, " ", kSpace);
        encode_escaped(escaped, ids);
    }

  private:
    /// The two parts that an unused token was merged from, to take it apart again.
    struct Halves {
        uint32_t left_length;
        int32_t left;
        int32_t right;
    };
    using HalvesOf = std::unordered_map<int32_t, Halves>;

    void index_token(int32_t id) {
        const std::string& text = data().tokens[id];
        switch (token_type(id)) {
            case TokenType::kControl:
            case TokenType::kUnknown:
                return;  // never made of characters
            case TokenType::kByte: {
                const int byte = byte_of_token(text);
                if (byte < 0) {
                    fail(ErrorCode::kBadFile,
                         "tokenizer.ggml.tokens[{}] is '{}', but a token of type byte has the form <0x0A>",
                         id, printable(text));
                }
                byte_ids_[static_cast<size_t>(byte)] = id;
                return;
            }
            default:
                tokens_.emplace(text, id);
                longest_ = std::max(longest_, text.size());
        }
    }

    int32_t find_token(std::string_view text) const {
        if (text.size() > longest_) return -1;
        const auto found = tokens_.find(text);
        return found == tokens_.end() ? -1 : found->second;
    }

    void encode_escaped(std::string_view text, std::vector<int32_t>& ids) const {
        std::vector<MergePart> parts;
        parts.reserve(text.size());
        for (size_t offset = 0; offset < text.size();) {
            const size_t length = std::max<size_t>(utf8_character_length(text.substr(offset)), 1);
            const auto index = static_cast<int32_t>(parts.size());
            parts.push_back({static_cast<uint32_t>(offset), static_cast<uint32_t>(length),
                             find_token(text.substr(offset, length)), index - 1, index + 1});
            offset += length;
        }
        parts.back().next = -1;
        HalvesOf halves;
        merge_parts(
            parts,
            [&](const MergePart& left, const MergePart& right) -> std::optional<Merge> {
                const int32_t id = find_token(text.substr(left.offset, left.length + right.length));
                if (id < 0) return std::nullopt;
                return Merge{orders_[id], id};
            },
            [&](const MergePart& left, const MergePart& right, int32_t id) {
                if (token_type(id) == TokenType::kUnused) halves[id] = {left.length, left.id, right.id};
            });
        bool after_unknown = false;
        for (const MergePart& part : parts) {
            if (part.length != 0)
                emit(text.substr(part.offset, part.length), part.id, halves, after_unknown, ids);
        }
    }

    /// after_unknown: the token before is the unknown token, into which further unknown characters go.
    void emit(std::string_view text, int32_t id, const HalvesOf& halves, bool& after_unknown,
              std::vector<int32_t>& ids) const {
        if (id >= 0 && token_type(id) == TokenType::kUnused) {
            const auto found = halves.find(id);
            if (found != halves.end()) {
                const Halves& parts = found->second;
                emit(text.substr(0, parts.left_length), parts.left, halves, after_unknown, ids);
                emit(text.substr(parts.left_length), parts.right, halves, after_unknown, ids);
                return;
            }
        }
        if (id >= 0) {
            ids.push_back(id);
            after_unknown = false;
            return;
        }
        const auto byte_id = [this](char byte) { return byte_ids_[static_cast<uint8_t>(byte)]; };
        if (std::ranges::all_of(text, [&](char byte) { return byte_id(byte) >= 0; })) {
            for (const char byte : text) ids.push_back(byte_id(byte));
            after_unknown = false;
        } else {
            if (!after_unknown && unknown() >= 0) ids.push_back(unknown());
            after_unknown = true;
        }
    }

    std::unordered_map<std::string_view, int32_t> tokens_;  // views of data().tokens
    std::vector<uint32_t> orders_;                          // by id
    std::array<int32_t, 256> byte_ids_{};
    size_t longest_ = 0;  // bytes of the longest token in tokens_
};

}  // namespace

std::unique_ptr<Tokenizer> make_score_tokenizer(VocabularyData data) {
    return std::make_unique<ScoreTokenizer>(std::move(data));
}

}  // namespace vkmoe
