#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"

namespace vkmoe {

/// How the text of one family of byte-level BPE tokenizers is cut into words before merging.
struct PreTokenizerSpec {
    std::span<const std::string_view> names;  ///< values of tokenizer.ggml.pre
    std::span<const std::string_view> rules;  ///< regular expressions; each cuts the pieces of the one before
    bool normalize_nfc;                       ///< text is brought to normalization form C first
    bool ignore_merges;  ///< a word that is a token as a whole is that token, whatever the merges say
    bool add_bos;        ///< the default where the file has no tokenizer.ggml.add_bos_token
};

/// Every pre-tokenizer that is known.
std::span<const PreTokenizerSpec> pre_tokenizer_specs();

/// A pre-tokenizer ready to use. Safe for use by several threads at a time.
class PreTokenizer {
  public:
    /// name: the value of tokenizer.ggml.pre. Throws kUnsupported, naming the key, the value and every known
    /// value.
    explicit PreTokenizer(std::string_view name);

    const PreTokenizerSpec& spec() const { return *spec_; }

    /// Cuts well-formed UTF-8 into words: views into `text`, none empty, that joined give `text`. Does not
    /// normalize.
    std::vector<std::string_view> split(std::string_view text) const;

  private:
    const PreTokenizerSpec* spec_;
    std::vector<Regex> rules_;
};

}  // namespace vkmoe
