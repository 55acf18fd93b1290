#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace vkmoe {

/// How many of a file's first bytes recognize_file wants, where there are so many.
constexpr size_t kFileKindBytes = 512;

/// One line about a file that is no GGUF file: its kind, and the way to a model that runs ("this is a
/// safetensors file; convert …"). Nothing for an unknown kind. start: the file's first bytes.
std::optional<std::string> recognize_file(std::span<const std::byte> start, uint64_t file_bytes);

/// The same about a raw piece of a file that was cut by size, told by its name: MODEL.gguf.part1of2,
/// MODEL.gguf-split-a, MODEL.gguf.001, MODEL-00001-of-00003.gguf. Nothing for other names. Such a piece is
/// no file by itself: the first one ends too early, and the others have no header.
std::optional<std::string> recognize_piece(std::string_view path);

}  // namespace vkmoe
