#include "formats/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <filesystem>
#include <iterator>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/input_file.h"
#include "formats/gguf_parse.h"

namespace vkmoe {
namespace {

/// "-00001-of-00003.gguf".
std::string split_suffix(GgufFile::Split split) {
    return fmt::format("-{:05}-of-{:05}.gguf", split.part + 1, split.count);
}

/// The number under a split key of one part's metadata.
uint16_t split_number(const GgufPart& part, const std::string& path, std::string_view key,
                      uint16_t fallback) {
    const auto entry = std::ranges::find(part.entries, key, &GgufEntry::key);
    if (entry == part.entries.end()) return fallback;
    const std::optional<uint16_t> number = entry->value.as<uint16_t>();
    if (!number) {
        fail(ErrorCode::kBadFile,
             "{}: metadata key '{}' is {}, but must be an integer from 0 to 65535; split the model again",
             path, key, describe(entry->value));
    }
    return *number;
}

/// Behind a shard's tensors nothing follows. Shards that were joined by cat would pass for the first one.
void refuse_rest_of_shard(const InputFile& file, const GgufPart& part) {
    constexpr std::string_view kMagic = "GGUF";
    const uint64_t mask = uint64_t{part.alignment} - 1;
    for (const uint64_t at : {part.end, (part.end + mask) & ~mask}) {
        std::array<char, kMagic.size()> found{};
        if (at > file.size() || file.size() - at < found.size()) continue;
        file.read(at, std::as_writable_bytes(std::span(found)));
        if (std::string_view(found.data(), found.size()) != kMagic) continue;
        fail(ErrorCode::kBadFile,
             "{}: the file contains several shards of a split model joined by cat, which is not a valid "
             "model; merge the shards with llama.cpp's `llama-gguf-split --merge FIRST-SHARD OUTPUT`, or "
             "give the first shard",
             file.path());
    }
    const uint64_t end = (part.end + mask) & ~mask;
    if (file.size() > end) {
        fail(ErrorCode::kBadFile,
             "{}: {} bytes follow the data of the last tensor; its type id belongs to another program's "
             "type, or the file is damaged; download or convert it again",
             file.path(), file.size() - end);
    }
}

}  // namespace

std::string shape_string(std::span<const uint64_t> shape) {
    std::string text = "[";
    for (size_t i = 0; i < shape.size(); ++i) {
        fmt::format_to(std::back_inserter(text), "{}{}", i > 0 ? " x " : "", shape[i]);
    }
    return text + "]";
}

GgufFile::GgufFile(const std::string& path) : path_(path) {
    const Split split = open_part(path);
    if (split.count > 1) open_split(split);
}

GgufFile::GgufFile(std::string name, std::span<const std::byte> bytes)
    : path_(std::move(name)), in_files_(false) {
    parts_.push_back({path_, {}, bytes.size()});
    if (add_part(parse_gguf_part(path_, bytes, 0)).count > 1) {
        fail(ErrorCode::kUnsupported,
             "{}: a part of a split model cannot be read from memory; merge the model (llama-gguf-split "
             "--merge)",
             path_);
    }
}

GgufFile::Split GgufFile::open_part(const std::string& path) {
    const InputFile file(path);
    std::vector<std::byte> header;
    GgufPart part = read_gguf_part(file, static_cast<uint32_t>(parts_.size()), header);
    parts_.push_back({path, std::move(header), file.size()});
    if (split_number(part, path, "split.count", 1) > 1) refuse_rest_of_shard(file, part);
    return add_part(std::move(part));
}

GgufFile::Split GgufFile::add_part(GgufPart part) {
    const size_t index = parts_.size() - 1;
    const std::string& path = parts_[index].path;
    const Split split = {split_number(part, path, "split.no", 0), split_number(part, path, "split.count", 1)};
    if (index == 0) {
        version_ = part.version;
        alignment_ = part.alignment;
        entries_ = std::move(part.entries);
        index_entries();
    }
    for (const GgufTensor& tensor : part.tensors) {
        const auto [earlier, is_new] = tensor_index_.emplace(tensor.name, tensors_.size());
        if (!is_new) {
            fail(
                ErrorCode::kBadFile,
                "{}: tensor '{}' is also in '{}'; the parts do not belong together, so split the model again",
                path, printable(tensor.name), part_path(tensors_[earlier->second].part));
        }
        tensors_.push_back(tensor);
    }
    return split;
}

void GgufFile::open_split(Split opened) {
    const std::string suffix = split_suffix(opened);
    if (!path_.ends_with(suffix)) {
        fail(ErrorCode::kBadFile,
             "{}: this is part {} of {} of a split model, but its name does not end in '{}'; rename it so "
             "that vkmoe finds the other parts",
             path_, opened.part + 1, opened.count, suffix);
    }
    const std::string prefix = path_.substr(0, path_.size() - suffix.size());
    if (opened.part != 0) {
        // The metadata is in the first part and tensors are in order of parts: start again from there.
        parts_.clear();
        entries_.clear();
        tensors_.clear();
        entry_index_.clear();
        tensor_index_.clear();
    }
    for (uint32_t i = static_cast<uint32_t>(parts_.size()); i < opened.count; ++i) {
        const Split wanted = {static_cast<uint16_t>(i), opened.count};
        const std::string path = prefix + split_suffix(wanted);
        if (std::error_code error; !std::filesystem::exists(path, error)) {
            fail(ErrorCode::kIo,
                 "{}: part {} of {} of this model is missing: '{}' does not exist; put all parts into one "
                 "folder",
                 path_, i + 1, opened.count, path);
        }
        const Split found = open_part(path);
        if (found.part != wanted.part || found.count != wanted.count) {
            fail(ErrorCode::kBadFile,
                 "{}: the metadata says part {} of {}, but the name says part {} of {}; rename the file or "
                 "split the model again",
                 path, found.part + 1, found.count, i + 1, wanted.count);
        }
    }
    const uint64_t n_tensors = get_or<uint64_t>("split.tensors.count", tensors_.size());
    if (n_tensors != tensors_.size()) {
        fail(ErrorCode::kBadFile,
             "{}: the {} parts contain {} tensors, but 'split.tensors.count' is {}; the parts do not belong "
             "together, so split the model again",
             path_, opened.count, tensors_.size(), n_tensors);
    }
}

void GgufFile::index_entries() {
    entry_index_.clear();
    entry_index_.reserve(entries_.size());
    for (size_t i = 0; i < entries_.size(); ++i) entry_index_.emplace(entries_[i].key, i);
}

bool GgufFile::drop(std::string_view key) {
    const auto found = entry_index_.find(key);
    if (found == entry_index_.end()) return false;
    entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(found->second));
    index_entries();
    return true;
}

uint64_t GgufFile::file_bytes() const {
    uint64_t sum = 0;
    for (const Part& part : parts_) sum += part.bytes;
    return sum;
}

GgufLocation GgufFile::location(const GgufTensor& tensor) const {
    if (!in_files_) {
        fail(ErrorCode::kUnsupported, "{}: tensor '{}' exists only in memory; save the model to a file",
             path_, tensor.name);
    }
    return {part_path(tensor.part), tensor.file_offset};
}

const GgufValue* GgufFile::find(std::string_view key) const {
    const auto found = entry_index_.find(key);
    return found == entry_index_.end() ? nullptr : &entries_[found->second].value;
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
    const auto found = tensor_index_.find(name);
    return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

const GgufTensor& GgufFile::tensor(std::string_view name) const {
    const GgufTensor* found = find_tensor(name);
    if (found == nullptr) {
        fail(ErrorCode::kBadFile,
             "{}: tensor '{}' is missing: the file lacks a part or has another layout, which this version "
             "does not support; convert the model again with llama.cpp's converter",
             path_, name);
    }
    return *found;
}

const GgufTensor& GgufFile::tensor(std::string_view name, std::initializer_list<uint64_t> shape) const {
    const GgufTensor& found = tensor(name);
    std::array<uint64_t, 4> wanted = {1, 1, 1, 1};
    assert(shape.size() <= wanted.size());
    std::ranges::copy(shape, wanted.begin());
    if (found.ne != wanted) {
        fail(ErrorCode::kBadFile,
             "{}: tensor '{}' has shape {}, but the metadata requires {}; the file is inconsistent, so "
             "convert the model again",
             part_path(found.part), name, shape_string(found.shape()),
             shape_string(std::span(std::data(shape), shape.size())));
    }
    return found;
}

void GgufFile::fail_missing(std::string_view key) const {
    fail(ErrorCode::kBadFile,
         "{}: metadata key '{}' is missing; the model is incomplete, so convert it again", part_path(0), key);
}

void GgufFile::fail_type(std::string_view key, const GgufValue& value, std::string_view wanted) const {
    fail(ErrorCode::kBadFile,
         "{}: metadata key '{}' is {} (type {}), but must be {}; convert the model again", part_path(0), key,
         describe(value), gguf_value_type_name(value.type()), wanted);
}

}  // namespace vkmoe
