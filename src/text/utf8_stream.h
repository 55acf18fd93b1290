#pragma once

#include <string>
#include <string_view>

namespace vkmoe {

/// Turns the bytes of generated tokens, which may end in the middle of a character, into text that never
/// does. What can no longer become a character is handed out as U+FFFD, one for each maximal ill-formed part
/// (the replacement that the Unicode standard recommends, section 3.9).
class Utf8Stream {
  public:
    /// Takes more bytes; returns the characters that are complete now, possibly none.
    std::string push(std::string_view bytes);

    /// Ends the stream: returns U+FFFD when a character was left unfinished, else nothing. The stream is then
    /// empty.
    std::string flush();

  private:
    std::string pending_;  // at most 3 bytes: the start of a character
};

}  // namespace vkmoe
