#include "text/unicode.h"

#include <utf8proc.h>

#include <array>
#include <cstdlib>
#include <memory>

#include "base/error.h"

namespace vkmoe {
namespace {

constexpr uint32_t kByteLevelEnd = 0x144;  // one past the last character of the byte-level scheme

bool stands_for_itself(uint32_t byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

struct ByteLevelTable {
    std::array<uint32_t, 256> character{};
    std::array<int16_t, kByteLevelEnd> byte{};

    ByteLevelTable() {
        byte.fill(-1);
        uint32_t next = 0x100;
        for (uint32_t value = 0; value < 256; ++value) {
            character[value] = stands_for_itself(value) ? value : next++;
            byte[character[value]] = static_cast<int16_t>(value);
        }
    }
};

const ByteLevelTable& byte_level_table() {
    static const ByteLevelTable table;
    return table;
}

/// Decodes the character that `text` begins with; returns its length, or 0 when it is not well-formed.
size_t decode_character(std::string_view text, utf8proc_int32_t& code_point) {
    if (text.empty()) return 0;
    const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
    const utf8proc_ssize_t length =
        utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size()), &code_point);
    return length > 0 ? static_cast<size_t>(length) : 0;
}

}  // namespace

size_t utf8_character_length(std::string_view text) {
    utf8proc_int32_t code_point = 0;
    return decode_character(text, code_point);
}

size_t valid_utf8_prefix(std::string_view text) {
    size_t position = 0;
    while (position < text.size()) {
        if (static_cast<uint8_t>(text[position]) < 0x80) {
            ++position;
            continue;
        }
        const size_t length = utf8_character_length(text.substr(position));
        if (length == 0) break;
        position += length;
    }
    return position;
}

void append_utf8(std::string& out, uint32_t code_point) {
    std::array<utf8proc_uint8_t, 4> bytes{};
    const utf8proc_ssize_t length =
        utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), bytes.data());
    out.append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(length));
}

std::string normalize_nfc(std::string_view text) {
    const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
    utf8proc_uint8_t* mapped = nullptr;
    const utf8proc_ssize_t length =
        utf8proc_map(bytes, static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                     static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(mapped, std::free);
    if (length == UTF8PROC_ERROR_NOMEM)
        fail(ErrorCode::kOutOfMemory, "out of memory for normalizing {} bytes of text", text.size());
    if (length < 0)
        fail(ErrorCode::kInternal, "normalizing {} bytes of text failed: {}", text.size(),
             utf8proc_errmsg(length));
    return std::string(reinterpret_cast<const char*>(mapped), static_cast<size_t>(length));
}

uint32_t byte_level_character(uint8_t byte) {
    return byte_level_table().character[byte];
}

std::string byte_level_decode(std::string_view token) {
    std::string bytes;
    bytes.reserve(token.size());
    while (!token.empty()) {
        utf8proc_int32_t code_point = 0;
        const size_t length = decode_character(token, code_point);
        const size_t taken = length == 0 ? 1 : length;
        const bool in_scheme = length != 0 && code_point < static_cast<utf8proc_int32_t>(kByteLevelEnd) &&
                               byte_level_table().byte[static_cast<size_t>(code_point)] >= 0;
        if (in_scheme) {
            bytes += static_cast<char>(byte_level_table().byte[static_cast<size_t>(code_point)]);
        } else {
            bytes.append(token.substr(0, taken));
        }
        token.remove_prefix(taken);
    }
    return bytes;
}

}  // namespace vkmoe
