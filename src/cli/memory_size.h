#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace vkmoe::cli {

/// An amount of memory: in bytes, or as a share of what there is.
struct MemorySize {
    uint64_t bytes = 0;
    double share = 0;  ///< over 0: this part of the whole, at most 1

    /// In bytes, where the whole is so many.
    uint64_t of(uint64_t whole) const;
};

/// "12G", "800M", "512MiB", "1.5GiB", "4096" (bytes) or "50%"; K, M, G and T are powers of 1024, with or
/// without "B" or "iB" after them, in any case. Nothing for what is none of these, is zero or beyond 2^63
/// bytes.
std::optional<MemorySize> parse_memory_size(std::string_view text);

}  // namespace vkmoe::cli
