#pragma once

#include <cstddef>
#include <string>

namespace vkmoe::cli {

/// The header of a NumPy file of float32 [rows, columns] in C order (format 1.0); the numbers follow,
/// little-endian.
std::string npy_header(size_t rows, size_t columns);

}  // namespace vkmoe::cli
