#pragma once

#include <memory>

#include "text/tokenizer.h"

namespace vkmoe {

/// tokenizer.ggml.model "gpt2": text is cut into words by the pre-tokenizer, and the bytes of a word are
/// merged in the order of the merges.
std::unique_ptr<Tokenizer> make_byte_level_tokenizer(VocabularyData data);

}  // namespace vkmoe
