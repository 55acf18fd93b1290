#pragma once

#include <memory>

#include "text/tokenizer.h"

namespace vkmoe {

/// tokenizer.ggml.model "llama": SentencePiece BPE. Spaces become U+2581, and neighbours are merged into the
/// token of the best score, over the whole text; characters without a token become their bytes, <0xXX>.
std::unique_ptr<Tokenizer> make_score_tokenizer(VocabularyData data);

}  // namespace vkmoe
