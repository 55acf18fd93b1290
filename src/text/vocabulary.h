#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vkmoe {

class GgufFile;

/// The values are the ids of tokenizer.ggml.token_type.
enum class TokenType : int32_t {
    kUndefined = 0,
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,      ///< has a meaning of its own and is not text: <s>, <|im_end|>
    kUserDefined = 4,  ///< text that is always one token
    kUnused = 5,
    kByte = 6,  ///< <0xXX>, one byte of what has no token
};

/// A tokenizer's data as GGUF keeps it under tokenizer.ggml.*. Ids are -1 where there is no such token; a
/// file may have ids that no token has, which complete_vocabulary drops.
struct VocabularyData {
    std::string model;                ///< "gpt2" or "llama"
    std::string pre;                  ///< pre-tokenizer of "gpt2"; files may leave it empty or "default"
    std::vector<std::string> tokens;  ///< by id
    std::vector<float> scores;        ///< "llama": by id; else may be empty
    std::vector<int32_t> types;       ///< TokenType by id; files may have none
    std::vector<std::string> merges;  ///< "gpt2": "left right", best first

    int64_t bos = -1;
    int64_t eos = -1;
    int64_t eot = -1;
    int64_t eom = -1;
    int64_t unknown = -1;

    // Unset means the default of the model and the pre-tokenizer.
    std::optional<bool> add_bos;
    std::optional<bool> add_eos;
    std::optional<bool> add_space_prefix;

    std::vector<int32_t> end_tokens;  ///< with which the model says that it is done; see complete_vocabulary
};

/// The byte that a token "<0xXX>" stands for; -1 for a text of any other form.
int byte_of_token(std::string_view text);

/// Reads tokenizer.ggml.*. Throws kBadFile, naming file and key, for a missing key or a value of the wrong
/// type.
VocabularyData read_vocabulary(const GgufFile& file);

}  // namespace vkmoe
