#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "text/special_tokens.h"
#include "text/vocabulary.h"

namespace vkmoe {

class GgufFile;

/// Turns text into token ids and back, as the tokenizer that the model was trained with does. Safe for use by
/// several threads at a time.
///
/// Text need not be well-formed UTF-8. Bytes that are not part of a well-formed character are kept: a run of
/// them is a word of its own, so with a token for every byte the ids decode to the same bytes again. (Text
/// that is normalized, as for qwen2, comes back normalized.)
class Tokenizer {
  public:
    virtual ~Tokenizer() = default;
    Tokenizer(const Tokenizer&) = delete;
    Tokenizer& operator=(const Tokenizer&) = delete;

    /// add_special: put the begin and end tokens around the text where the model wants them.
    /// parse_special: text that spells a control token (<|im_end|>) is that token, not text. User-defined
    /// tokens are found in either case. A character for which there is neither token nor bytes becomes the
    /// unknown token, or nothing where the vocabulary has none. The first text that spells a begin or end
    /// token beside the one put there brings a warning.
    std::vector<int32_t> encode(std::string_view text, bool add_special, bool parse_special) const;

    /// The bytes that a token stands for, which may be a part of a character (see Utf8Stream). Control and
    /// unknown tokens give their name with render_special, else nothing. Throws kInvalidArgument for an id
    /// out of range.
    virtual std::string token_bytes(int32_t id, bool render_special) const = 0;

    /// The bytes of all tokens joined, without the space that the vocabulary puts before the first word.
    std::string decode(std::span<const int32_t> ids, bool render_special) const;

    /// The token as the vocabulary spells it. Throws kInvalidArgument for an id out of range.
    const std::string& token_text(int32_t id) const;
    TokenType token_type(int32_t id) const;

    int32_t vocab_size() const { return static_cast<int32_t>(data_.tokens.size()); }
    int32_t bos() const { return static_cast<int32_t>(data_.bos); }  ///< -1: none
    int32_t eos() const { return static_cast<int32_t>(data_.eos); }  ///< -1: none
    bool adds_bos() const { return add_bos_; }
    bool adds_eos() const { return add_eos_; }

    /// Whether a model says with this token that it is done: the end-of-text, -turn and -message tokens that
    /// the file names, and tokens that are known for it by their text.
    bool is_end_of_generation(int32_t id) const { return end_tokens_.contains(id); }

  protected:
    struct Defaults {
        bool add_bos;
        bool add_space_prefix;
    };

    /// data: completed.
    Tokenizer(VocabularyData data, Defaults defaults);

    /// Appends the tokens of text that has no special token in it and is not empty. after_special: it begins
    /// the input or follows a special token.
    virtual void encode_text(std::string_view text, bool after_special, std::vector<int32_t>& ids) const = 0;

    const VocabularyData& data() const { return data_; }
    int32_t unknown() const { return static_cast<int32_t>(data_.unknown); }  ///< -1: none
    bool add_space_prefix() const { return add_space_prefix_; }

  private:
    void find_special_tokens();
    void warn_of_doubled(std::string_view place, int32_t id) const;

    VocabularyData data_;
    bool add_bos_;
    bool add_eos_;
    bool add_space_prefix_;
    SpecialTokens user_defined_;
    SpecialTokens all_special_;
    std::unordered_set<int32_t> end_tokens_;
    mutable std::atomic_flag warned_of_doubled_;
};

/// Completes the data and warns of what is wrong with it. Throws kUnsupported, naming the key, for a
/// tokenizer.ggml.model or tokenizer.ggml.pre that is not known, and kBadFile for data that contradicts
/// itself.
std::unique_ptr<Tokenizer> make_tokenizer(VocabularyData data);

/// The same from a GGUF file's metadata; messages name the file.
std::unique_ptr<Tokenizer> make_tokenizer(const GgufFile& file);

}  // namespace vkmoe
