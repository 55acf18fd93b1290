#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "formats/gguf_value.h"

namespace vkmoe {

/// Builds the bytes of a GGUF file field by field, so that any field can be wrong.
class GgufBytes {
  public:
    GgufBytes() = default;
    GgufBytes(uint32_t version, uint64_t n_tensors, uint64_t n_entries) {
        raw("GGUF").put(version).put(n_tensors).put(n_entries);
    }

    template <typename T>
    GgufBytes& put(T value) {
        for (const std::byte b : std::bit_cast<std::array<std::byte, sizeof(T)>>(value)) bytes_.push_back(b);
        return *this;
    }

    GgufBytes& raw(std::string_view text) {
        for (const char c : text) put(c);
        return *this;
    }

    GgufBytes& text(std::string_view text) { return put(uint64_t{text.size()}).raw(text); }

    /// The start of a metadata entry; its value follows.
    GgufBytes& key(std::string_view name, GgufValueType type) { return text(name).put(type); }

    GgufBytes& tensor(std::string_view name, std::vector<uint64_t> shape, uint32_t type, uint64_t offset) {
        text(name).put(static_cast<uint32_t>(shape.size()));
        for (const uint64_t dimension : shape) put(dimension);
        return put(type).put(offset);
    }

    /// Zeros up to a multiple of the alignment, then n more bytes.
    GgufBytes& data(size_t n, size_t alignment = 32) {
        bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment + n);
        return *this;
    }

    const std::vector<std::byte>& bytes() const { return bytes_; }

  private:
    std::vector<std::byte> bytes_;
};

}  // namespace vkmoe
