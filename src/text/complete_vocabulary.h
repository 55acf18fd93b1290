#pragma once

#include <string>
#include <vector>

#include "text/vocabulary.h"

namespace vkmoe {

/// What complete_vocabulary found out.
struct VocabularyFindings {
    std::vector<std::string> warnings;  ///< one line each
    bool pre_recognized = false;        ///< data.pre comes from the tokens, not from the file
};

/// Fills in what a file leaves out or gets wrong, as far as the tokens tell it:
/// - drops special ids that no token has;
/// - gives every token a type, and the type kControl to every token that ends a model's text, so that such a
///   token is never shown and is one id where special tokens are parsed;
/// - names the pre-tokenizer (and the begin token) of a published vocabulary.
/// Throws kBadFile for data that contradicts itself.
VocabularyFindings complete_vocabulary(VocabularyData& data);

}  // namespace vkmoe
