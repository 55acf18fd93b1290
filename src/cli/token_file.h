#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vkmoe::cli {

/// Parses a JSON array of token ids, at least one, each from 0 to n_vocabulary - 1. path stands in messages.
/// Throws Error(kBadFile) naming the path and the index of what is wrong.
std::vector<int32_t> parse_tokens(std::string_view json, const std::string& path, uint32_t n_vocabulary);

}  // namespace vkmoe::cli
