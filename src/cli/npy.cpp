#include "cli/npy.h"

#include <fmt/format.h>

namespace vkmoe::cli {

std::string npy_header(size_t rows, size_t columns) {
    // Magic, version and the length take 10 bytes; all is padded by spaces so that the numbers start at a
    // multiple of 64, and ends in a line feed.
    constexpr size_t kPrefix = 10;
    constexpr size_t kAlignment = 64;
    std::string text =
        fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, columns);
    const size_t padded = (kPrefix + text.size() + 1 + kAlignment - 1) / kAlignment * kAlignment;
    text.append(padded - kPrefix - 1 - text.size(), ' ');
    text += '\n';
    std::string header("\x93NUMPY\x01\x00", 8);
    header += static_cast<char>(text.size() & 0xFF);
    header += static_cast<char>(text.size() >> 8);
    return header + text;
}

}  // namespace vkmoe::cli
