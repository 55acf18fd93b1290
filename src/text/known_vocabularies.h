#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "text/vocabulary.h"

namespace vkmoe {

struct KnownToken {
    int32_t id;
    std::string_view text;
};

/// A published byte-level vocabulary, told by its size and by tokens that have the same ids in no other.
struct KnownVocabulary {
    std::string_view pre;  ///< its name among the pre-tokenizers
    size_t least_size;     ///< fine-tuned models and converters add tokens behind
    size_t most_size;
    std::span<const KnownToken> tokens;
    bool begins;  ///< texts begin with the first of these tokens
};

/// Every published vocabulary that is told by its tokens.
std::span<const KnownVocabulary> known_vocabularies();

/// nullptr where none fits.
const KnownVocabulary* recognize_vocabulary(const VocabularyData& data);

}  // namespace vkmoe
