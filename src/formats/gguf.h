#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "formats/gguf_value.h"
#include "formats/tensor_type.h"

namespace vkmoe {

struct GgufTensor {
    std::string_view name;
    TensorType type;
    uint32_t n_dims;             ///< 1 ... 4
    std::array<uint64_t, 4> ne;  ///< ne[0] is the length of a row and varies fastest; 1 beyond n_dims
    uint32_t part;               ///< index of the file it lies in, for GgufFile::part_path
    uint64_t file_offset;        ///< of its first byte in that file
    uint64_t n_bytes;

    uint64_t n_elements() const { return ne[0] * ne[1] * ne[2] * ne[3]; }
    uint64_t n_rows() const { return ne[1] * ne[2] * ne[3]; }
    std::span<const uint64_t> shape() const { return std::span(ne).first(n_dims); }
};

/// "[2048 x 768 x 128]", the fastest dimension first.
std::string shape_string(std::span<const uint64_t> shape);

/// Where a tensor's bytes lie.
struct GgufLocation {
    std::string path;
    uint64_t offset = 0;  ///< bytes from the file's start
};

struct GgufPart;

struct GgufEntry {
    std::string_view key;
    GgufValue value;
};

/// A model in a GGUF file (version 2 or 3, little-endian), or in several that llama-gguf-split made of one.
/// Only what comes before the tensors' data is read, all of it when the file is opened. Everything it hands
/// out views that and is valid as long as it lives, moves included. Whatever the bytes are, opening either
/// succeeds with every tensor inside its file or throws kIo, kBadFile or kUnsupported.
class GgufFile {
  public:
    /// A file's place in a split model, `part` counted from 0.
    struct Split {
        uint16_t part;
        uint16_t count;
    };

    /// Opens a file; of a split model any part, which opens the others beside it.
    explicit GgufFile(const std::string& path);

    /// Reads a GGUF file that lies in memory, which must outlive this. `name` stands for the path in
    /// messages.
    GgufFile(std::string name, std::span<const std::byte> bytes);

    /// The path that was opened.
    const std::string& path() const { return path_; }
    uint32_t version() const { return version_; }
    uint32_t alignment() const { return alignment_; }
    size_t n_parts() const { return parts_.size(); }
    const std::string& part_path(size_t part) const { return parts_[part].path; }
    /// Bytes of all parts together.
    uint64_t file_bytes() const;
    /// Whether it lies in files, and not in memory that the caller gave.
    bool in_files() const { return in_files_; }
    /// Throws kUnsupported when the model lies in memory.
    GgufLocation location(const GgufTensor& tensor) const;

    /// Metadata of the first part (the others have only their place in the split), in file order.
    std::span<const GgufEntry> entries() const { return entries_; }
    const GgufValue* find(std::string_view key) const;
    /// Forgets a metadata entry, as if the file did not have it; false where it has none. Its value and those
    /// of the entries after it are no longer valid.
    bool drop(std::string_view key);

    /// T as in GgufValue::as. Throws kBadFile, naming file and key, when the key is missing or its value is
    /// no T.
    template <typename T>
    T get(std::string_view key) const;

    /// As get, but a missing key gives `fallback`. A value of the wrong type still throws.
    template <typename T>
    T get_or(std::string_view key, std::type_identity_t<T> fallback) const;

    /// An array of T. Throws as get does.
    template <typename T>
    std::vector<T> get_array(std::string_view key) const;

    /// The tensors of all parts, in file order.
    std::span<const GgufTensor> tensors() const { return tensors_; }
    const GgufTensor* find_tensor(std::string_view name) const;

    /// Throws kBadFile, naming file and tensor, when there is no such tensor or, with a shape (fastest
    /// dimension first), when its own is different. Trailing dimensions of 1 do not matter.
    const GgufTensor& tensor(std::string_view name) const;
    const GgufTensor& tensor(std::string_view name, std::initializer_list<uint64_t> shape) const;

  private:
    struct Part {
        std::string path;
        std::vector<std::byte> header;  // empty for a file in memory
        uint64_t bytes;                 // of the file
    };

    Split open_part(const std::string& path);
    void index_entries();
    Split add_part(GgufPart part);
    void open_split(Split opened);
    [[noreturn]] void fail_missing(std::string_view key) const;
    [[noreturn]] void fail_type(std::string_view key, const GgufValue& value, std::string_view wanted) const;

    template <typename T>
    static constexpr std::string_view words_for();

    std::string path_;
    bool in_files_ = true;
    uint32_t version_ = 0;
    uint32_t alignment_ = 0;
    std::vector<Part> parts_;
    std::vector<GgufEntry> entries_;
    std::vector<GgufTensor> tensors_;
    std::unordered_map<std::string_view, size_t> entry_index_;
    std::unordered_map<std::string_view, size_t> tensor_index_;
};

template <typename T>
constexpr std::string_view GgufFile::words_for() {
    if constexpr (std::same_as<T, bool>) return "a bool";
    if constexpr (std::integral<T>) {
        constexpr std::array<std::string_view, 9> kUnsigned = {"",
                                                               "an integer from 0 to 255",
                                                               "an integer from 0 to 65535",
                                                               "",
                                                               "an integer from 0 to 2^32-1",
                                                               "",
                                                               "",
                                                               "",
                                                               "an integer from 0 to 2^64-1"};
        constexpr std::array<std::string_view, 9> kSigned = {
            "", "an 8-bit integer", "a 16-bit integer", "", "a 32-bit integer", "", "",
            "", "a 64-bit integer"};
        return std::is_signed_v<T> ? kSigned[sizeof(T)] : kUnsigned[sizeof(T)];
    }
    if constexpr (std::floating_point<T>) return "a float";
    return "a string";
}

template <typename T>
T GgufFile::get(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) fail_missing(key);
    std::optional<T> result = value->as<T>();
    if (!result) fail_type(key, *value, words_for<T>());
    return *std::move(result);
}

template <typename T>
T GgufFile::get_or(std::string_view key, std::type_identity_t<T> fallback) const {
    return find(key) == nullptr ? fallback : get<T>(key);
}

template <typename T>
std::vector<T> GgufFile::get_array(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) fail_missing(key);
    if (const GgufArray* array = value->array()) {
        if (std::optional<std::vector<T>> result = array->as<T>()) return *std::move(result);
    }
    fail_type(key, *value, std::string("an array, each element ") + std::string(words_for<T>()));
}

}  // namespace vkmoe
