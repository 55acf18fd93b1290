#include "text/utf8_stream.h"

#include <cstddef>
#include <cstdint>

#include "text/unicode.h"

namespace vkmoe {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct LeadByte {
    size_t length;       // bytes of the character that it begins; 0 when no character begins so
    uint8_t second_min;  // what the second byte may be (Unicode standard, table 3-7)
    uint8_t second_max;
};

LeadByte classify(uint8_t byte) {
    if (byte < 0x80) return {1, 0, 0};
    if (byte < 0xC2) return {0, 0, 0};
    if (byte < 0xE0) return {2, 0x80, 0xBF};
    if (byte == 0xE0) return {3, 0xA0, 0xBF};
    if (byte == 0xED) return {3, 0x80, 0x9F};
    if (byte < 0xF0) return {3, 0x80, 0xBF};
    if (byte == 0xF0) return {4, 0x90, 0xBF};
    if (byte < 0xF4) return {4, 0x80, 0xBF};
    if (byte == 0xF4) return {4, 0x80, 0x8F};
    return {0, 0, 0};
}

/// Length of the longest start of `text` (not empty, no complete character at its start) that could still
/// grow into a character; at least 1, as a byte that begins none is an ill-formed part of its own.
size_t ill_formed_length(std::string_view text, bool& may_grow) {
    const LeadByte lead = classify(static_cast<uint8_t>(text[0]));
    size_t length = 1;
    while (length < lead.length && length < text.size()) {
        const auto byte = static_cast<uint8_t>(text[length]);
        const uint8_t low = length == 1 ? lead.second_min : 0x80;
        const uint8_t high = length == 1 ? lead.second_max : 0xBF;
        if (byte < low || byte > high) break;
        ++length;
    }
    may_grow = length < lead.length && length == text.size();
    return length;
}

}  // namespace

std::string Utf8Stream::push(std::string_view bytes) {
    pending_.append(bytes);
    std::string out;
    std::string_view rest = pending_;
    while (!rest.empty()) {
        const size_t valid = valid_utf8_prefix(rest);
        out.append(rest.substr(0, valid));
        rest.remove_prefix(valid);
        if (rest.empty()) break;
        bool may_grow = false;
        const size_t length = ill_formed_length(rest, may_grow);
        if (may_grow) break;
        out.append(kReplacement);
        rest.remove_prefix(length);
    }
    pending_.erase(0, pending_.size() - rest.size());
    return out;
}

std::string Utf8Stream::flush() {
    const bool unfinished = !pending_.empty();
    pending_.clear();
    return unfinished ? std::string(kReplacement) : std::string();
}

}  // namespace vkmoe
