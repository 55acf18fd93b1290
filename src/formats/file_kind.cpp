#include "formats/file_kind.h"

#include "formats/gguf_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <filesystem>
#include <regex>

namespace vkmoe {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kConvert =
    "convert the folder of the original model with llama.cpp's convert_hf_to_gguf.py, or download the model "
    "in GGUF format";
constexpr std::string_view kUnpack = "unpack it and give the GGUF file inside";
constexpr std::string_view kOldGgml =
    "convert it with llama.cpp's convert_llama_ggml_to_gguf.py, or download the model in GGUF format";

/// A kind that the first bytes alone tell.
struct Signature {
    std::string_view bytes;
    std::string_view kind;
    std::string_view advice;
    size_t offset = 0;
};

constexpr std::array kSignatures = {
    Signature{"\x1f\x8b"sv, "a gzip archive", kUnpack},
    Signature{"\x28\xb5\x2f\xfd"sv, "a Zstandard archive", kUnpack},
    Signature{"\xfd\x37zXZ\0"sv, "an xz archive", kUnpack},
    Signature{"BZh"sv, "a bzip2 archive", kUnpack},
    Signature{"7z\xbc\xaf\x27\x1c"sv, "a 7-Zip archive", kUnpack},
    Signature{"\x04\x22\x4d\x18"sv, "an LZ4 archive", kUnpack},
    Signature{"Rar!\x1a\x07"sv, "a RAR archive", kUnpack},
    Signature{"ustar"sv, "a tar archive", kUnpack, 257},
    // ggml's magic numbers were written as little-endian integers, so that they read backwards.
    Signature{"lmgg"sv, "a model in the GGML format, which GGUF replaced in 2023", kOldGgml},
    Signature{"fmgg"sv, "a model in the GGMF format, which GGUF replaced in 2023", kOldGgml},
    Signature{"tjgg"sv, "a model in the GGJT format, which GGUF replaced in 2023", kOldGgml},
    Signature{"algg"sv, "a LoRA adapter in the GGLA format, which GGUF replaced in 2024",
              "adapters are not supported, so merge it into its model"},
    Signature{"\x93NUMPY"sv, "a NumPy array", "give a model in GGUF format"},
    Signature{"\x89HDF\r\n\x1a\n"sv, "an HDF5 file, such as Keras writes", kConvert},
    Signature{"version https://git-lfs"sv, "a Git LFS pointer, not the model",
              "fetch the file itself with `git lfs pull`"},
};

bool has(std::string_view text, const Signature& signature) {
    return text.size() >= signature.offset && text.substr(signature.offset).starts_with(signature.bytes);
}

std::string say(std::string_view kind, std::string_view advice) {
    return fmt::format("this is {}; {}", kind, advice);
}

/// A zip archive: PyTorch has saved its checkpoints as such since 1.6, with NAME/data.pkl in front.
std::string describe_zip(std::string_view text) {
    constexpr size_t kNameLength = 26;
    constexpr size_t kName = 30;
    if (text.size() > kName) {
        uint16_t length = 0;
        std::memcpy(&length, text.data() + kNameLength, sizeof length);
        const std::string_view name = text.substr(kName, length);
        if (name.ends_with("data.pkl") || name.ends_with("/.format_version") || name.ends_with("/version"))
            return say("a PyTorch checkpoint", kConvert);
        if (name.ends_with(".npy")) return say("an archive of NumPy arrays", "give a model in GGUF format");
    }
    return say("a zip archive", kUnpack);
}

/// Python's pickles of protocol 2 and up begin with the byte 0x80 and the protocol.
bool is_pickle(std::string_view text) {
    return text.size() > 2 && text[0] == '\x80' && text[1] >= 2 && text[1] <= 5;
}

/// The size of a JSON header, and the header.
bool is_safetensors(std::string_view text, uint64_t file_bytes) {
    uint64_t header = 0;
    if (text.size() <= sizeof header) return false;
    std::memcpy(&header, text.data(), sizeof header);
    return text[sizeof header] == '{' && header >= 2 && header <= file_bytes - sizeof header;
}

std::string_view without_leading_space(std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    const size_t start = text.find_first_not_of(" \t\r\n");
    return start == std::string_view::npos ? std::string_view() : text.substr(start);
}

bool is_web_page(std::string_view text) {
    std::string lower(text.substr(0, 16));
    std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
    const auto begins = [&](std::string_view tag) { return lower.starts_with(tag); };
    return begins("<!doctype") || begins("<html") || begins("<head") || begins("<?xml") || begins("<!--");
}

/// Plain ASCII at the start: messages of servers, sources, lists. Longer texts may hold other characters
/// later.
bool is_text(std::string_view text) {
    return std::ranges::all_of(text.substr(0, 64), [](char c) {
        return (c >= ' ' && c <= '~') || c == '\n' || c == '\r' || c == '\t';
    });
}

}  // namespace

std::optional<std::string> recognize_file(std::span<const std::byte> start, uint64_t file_bytes) {
    const std::string_view text(reinterpret_cast<const char*>(start.data()),
                                std::min(start.size(), kFileKindBytes));
    if (text.empty()) return "the file is empty; download or convert it again";
    if (text.starts_with("PK\x03\x04")) return describe_zip(text);
    for (const Signature& signature : kSignatures)
        if (has(text, signature)) return say(signature.kind, signature.advice);
    if (is_safetensors(text, file_bytes)) return say("a safetensors file", kConvert);
    if (is_pickle(text)) return say("a Python pickle, the format of old PyTorch checkpoints", kConvert);
    const std::string_view words = without_leading_space(text);
    if (is_web_page(words)) {
        return say("a web page, not the model",
                   "download the file itself (on Hugging Face, use a link with /resolve/ instead of /blob/; "
                   "gated models need a login)");
    }
    if (std::ranges::all_of(start, [](std::byte b) { return b == std::byte{0}; }))
        return "the file begins with zeros, like an unfinished download; download it again";
    if (!is_text(text)) return std::nullopt;
    const std::string_view kind = words.starts_with('{') || words.starts_with('[') ? "JSON" : "text";
    return fmt::format(
        "the file contains {} that begins with \"{}\", not a model; give a model in GGUF format, "
        "or download it again",
        kind, printable(words, 60));
}

std::optional<std::string> recognize_piece(std::string_view path) {
    constexpr size_t kLongestName = 255;  // std::regex needs stack for each character
    const std::string name = std::filesystem::path(path).filename().string();
    if (name.size() > kLongestName) return std::nullopt;
    // What people and tools put behind or before ".gguf" for pieces that `split` or an upload limit made.
    static const std::regex kBehind(
        R"((.*\.gguf)([-._](split|part)[-._]?[a-z0-9]+|[-._][0-9]{2,3}|[-._][a-z]|[-._]?a[a-z]))",
        std::regex::icase | std::regex::optimize);
    static const std::regex kBefore(R"((.*)-[0-9]{5}-of-[0-9]{5}(\.gguf))", std::regex::optimize);
    std::smatch match;
    std::string whole;
    if (std::regex_match(name, match, kBehind)) {
        whole = match[1];
    } else if (std::regex_match(name, match, kBefore)) {
        whole = match[1].str() + match[2].str();
    } else {
        return std::nullopt;
    }
    return fmt::format(
        "the name and contents suggest a raw piece of a file that was split by size; join all pieces in "
        "order: cat PIECES > {}",
        printable(whole));
}

}  // namespace vkmoe
