#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace vkmoe {

/// Bytes of the well-formed UTF-8 character that `text` begins with: 1 to 4, or 0 when it begins with none
/// (empty, stray continuation byte, overlong form, surrogate, above U+10FFFF, or cut short).
size_t utf8_character_length(std::string_view text);

/// How many bytes of `text` are well-formed UTF-8 from its start on.
size_t valid_utf8_prefix(std::string_view text);

/// Appends `code_point` (a Unicode scalar value) as UTF-8.
void append_utf8(std::string& out, uint32_t code_point);

/// Unicode normalization form C. `text` must be well-formed UTF-8.
std::string normalize_nfc(std::string_view text);

/// The printable character that stands for `byte` in the vocabularies of byte-level BPE: printable Latin-1
/// stands for itself, the other 68 bytes, in order, for U+0100 and up (the scheme that GPT-2 published).
uint32_t byte_level_character(uint8_t byte);

/// Turns a byte-level BPE token's text back into the bytes it stands for. A character outside the scheme
/// (padding and added tokens have some) stays as it is.
std::string byte_level_decode(std::string_view token);

}  // namespace vkmoe
