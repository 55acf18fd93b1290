#pragma once

#include <span>
#include <string>
#include <string_view>

namespace vkmoe::cli {

/// The word of these that was probably meant: one that the typed word begins or goes on from, or the nearest
/// by single edits (a letter more, less, changed, or two exchanged). Leading dashes do not count. Empty where
/// none is near.
std::string suggest(std::string_view typed, std::span<const std::string> words);

}  // namespace vkmoe::cli
