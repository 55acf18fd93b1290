// Prints the token ids of files as JSON, one list a line and file: for tokenizer_check.py.
//   tokenizer_dump MODEL.gguf [--special] FILE...      ids without begin and end tokens; --special parses
//   control tokens
// Exits with 1 when a text whose bytes the tokenizer keeps does not decode to itself.

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <exception>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "formats/gguf.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace {

std::string read_file(const char* path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) vkmoe::fail(vkmoe::ErrorCode::kIo, "cannot open '{}'", path);
    return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

/// Normalization form C of the well-formed parts: what a tokenizer that normalizes may give back.
std::string normalize_parts(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const size_t valid = vkmoe::valid_utf8_prefix(text);
        out += vkmoe::normalize_nfc(text.substr(0, valid));
        text.remove_prefix(valid);
        if (!text.empty()) out += text[0];
        text.remove_prefix(text.empty() ? 0 : 1);
    }
    return out;
}

int run(std::span<char*> arguments) {
    if (arguments.size() < 2) {
        fmt::print(stderr, "usage: tokenizer_dump MODEL.gguf [--special] FILE...\n");
        return 2;
    }
    const vkmoe::GgufFile file{std::string(arguments[0])};
    const auto tokenizer = vkmoe::make_tokenizer(file);
    const bool special = std::string_view(arguments[1]) == "--special";
    int status = 0;
    for (const char* path : arguments.subspan(special ? 2 : 1)) {
        const std::string text = read_file(path);
        const std::vector<int32_t> ids = tokenizer->encode(text, false, special);
        const std::string decoded = tokenizer->decode(ids, true);
        const bool spelled_space =
            text.find("\xE2\x96\x81") != std::string::npos;  // U+2581 may come back as a space
        if (!spelled_space && decoded != text && decoded != normalize_parts(text)) {
            fmt::print(stderr, "tokenizer_dump: '{}' does not decode to itself\n", path);
            status = 1;
        }
        fmt::print("[{}]\n", fmt::join(ids, ", "));
    }
    return status;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(std::span(argv, static_cast<size_t>(argc)).subspan(1));
    } catch (const std::exception& error) {
        fmt::print(stderr, "tokenizer_dump: {}\n", error.what());
        return 1;
    }
}
