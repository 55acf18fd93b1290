// What people give in place of a GGUF file, and what they are told.

#include "formats/file_kind.h"
#include "formats/gguf.h"
#include "unit/error_matching.h"
#include "unit/gguf_bytes.h"
#include "unit/temp_folder.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace vkmoe {
namespace {

using namespace std::string_literals;

std::string kind_of(const std::string& bytes) {
    return recognize_file(std::as_bytes(std::span(bytes)), bytes.size()).value_or("unknown");
}

void expect_kind(const std::string& bytes, std::initializer_list<std::string_view> parts) {
    const std::string kind = kind_of(bytes);
    EXPECT_EQ(kind.find('\n'), std::string::npos) << kind;
    for (const std::string_view part : parts)
        EXPECT_NE(kind.find(part), std::string::npos) << "no \"" << part << "\" in: " << kind;
}

/// A zip archive's first entry, of this name.
std::string zip(const std::string& name) {
    std::string bytes = "PK\x03\x04"s + std::string(22, '\0');
    bytes += static_cast<char>(name.size());
    bytes += "\0\0\0"s + name + "contents";
    return bytes;
}

std::string safetensors(const std::string& header) {
    std::string bytes(8, '\0');
    bytes[0] = static_cast<char>(header.size());
    return bytes + header + std::string(100, 'x');
}

TEST(FileKind, CheckpointsOfOtherPrograms) {
    expect_kind(safetensors(R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}})"),
                {"safetensors", "convert_hf_to_gguf.py"});
    expect_kind(zip("archive/data.pkl"), {"PyTorch checkpoint", "convert_hf_to_gguf.py"});
    expect_kind(zip("pytorch_model/data.pkl"), {"PyTorch checkpoint"});
    expect_kind(zip("model.gguf"), {"zip archive", "unpack"});
    expect_kind(zip("weight.npy"), {"NumPy"});
    expect_kind("PK\x03\x04", {"zip archive"});
    expect_kind("\x80\x02\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.", {"pickle", "PyTorch"});
    expect_kind("\x80\x04\x95" + std::string(20, 'x'), {"pickle"});
    expect_kind("\x93NUMPY\x01\x00", {"NumPy"});
    expect_kind("\x89HDF\r\n\x1a\n more", {"HDF5"});
}

TEST(FileKind, FormatsBeforeGguf) {
    expect_kind("lmgg\x01\0\0\0"s, {"GGML", "2023", "convert_llama_ggml_to_gguf.py"});
    expect_kind("fmgg\x01\0\0\0"s, {"GGMF"});
    expect_kind("tjgg\x03\0\0\0"s, {"GGJT"});
    expect_kind("algg\x01\0\0\0"s, {"LoRA"});
}

TEST(FileKind, Archives) {
    expect_kind("\x1f\x8b\x08\0\0\0"s, {"gzip", "unpack"});
    expect_kind("\x28\xb5\x2f\xfd rest", {"Zstandard", "unpack"});
    expect_kind("\xfd\x37zXZ\0\0\x04"s, {"xz"});
    expect_kind("BZh91AY", {"bzip2"});
    expect_kind("7z\xbc\xaf\x27\x1c\0\x04"s, {"7-Zip"});
    expect_kind("Rar!\x1a\x07\x01", {"RAR"});
    expect_kind("\x04\x22\x4d\x18 rest", {"LZ4"});
    expect_kind("model.gguf" + std::string(247, '\0') + "ustar\0"s + std::string(250, '\0'), {"tar archive"});
}

TEST(FileKind, DownloadsThatWentWrong) {
    expect_kind("", {"empty", "download"});
    expect_kind("version https://git-lfs.github.com/spec/v1\noid sha256:",
                {"Git LFS pointer", "git lfs pull"});
    for (const char* page : {"<!DOCTYPE html><html>", "<!doctype html>", "\n  <html lang=\"en\">",
                             "\xef\xbb\xbf<HTML>", "<?xml version=\"1.0\"?><Error>"})
        expect_kind(page, {"web page", "/resolve/"});
    expect_kind("Entry not found", {"text", "\"Entry not found\"", "download"});
    expect_kind(R"({"error":"Repository not found"})", {"JSON", "Repository not found"});
    expect_kind(R"([1, 2, 3])", {"JSON"});
    expect_kind(std::string(4096, '\0'), {"zeros", "download"});
    expect_kind(std::string(4096, 'a'), {"text"});
}

TEST(FileKind, OthersAreNotGuessed) {
    EXPECT_EQ(kind_of("\xde\xad\xbe\xef"), "unknown");
    EXPECT_EQ(kind_of("GG\x01"), "unknown");
    EXPECT_EQ(kind_of("\xff\xff\xff\xff\xff\xff\xff\x7f{"), "unknown") << "no header is that long";
    EXPECT_EQ(kind_of("\0\0\0\0\0\0\0\0{"s), "unknown") << "nor that short";
}

TEST(FileKind, RawPiecesHaveNames) {
    for (const char* name :
         {"m.gguf.part1of2", "m.gguf.part2of2", "m.gguf-split-a", "m.gguf-split-b", "m.gguf.part-aa",
          "m.gguf.001", "m.gguf.00", "m.gguf.aa", "m.gguf-ab", "m.ggufaa", "m.gguf.a", "M.GGUF.PART1",
          "m-00001-of-00003.gguf", "m-00003-of-00003.gguf"}) {
        const std::string text = recognize_piece("/models/"s + name).value_or("");
        EXPECT_NE(text.find("cat PIECES > "), std::string::npos) << name;
    }
    EXPECT_NE(recognize_piece("/a/Mix.Q4_K_M.gguf.part1of2")->find("> Mix.Q4_K_M.gguf"), std::string::npos);
    EXPECT_NE(recognize_piece("m-00001-of-00003.gguf")->find("> m.gguf"), std::string::npos);
    for (const char* name : {"m.gguf", "m.gguf.bak", "m.gguf.tmp", "m.gguf.download", "part1of2",
                             "m-001-of-003.gguf", "gguf", "", "m.bin", "m.gguf.part", "m.gguf.json"})
        EXPECT_FALSE(recognize_piece(name)) << name;
    EXPECT_FALSE(recognize_piece(std::string(1 << 20, 'a') + ".gguf.part1"));
}

/// A model of one tensor of 64 bytes.
GgufBytes model() {
    return GgufBytes(3, 1, 0).tensor("t", {16}, 0, 0).data(64);
}

/// A shard with one tensor of so many numbers, which no padding follows.
GgufBytes shard(uint16_t number, uint16_t count, uint64_t n_numbers) {
    return GgufBytes(3, 1, 2)
        .key("split.no", GgufValueType::kUint16)
        .put(number)
        .key("split.count", GgufValueType::kUint16)
        .put(count)
        .tensor(fmt::format("t{}", number), {n_numbers}, 0, 0)
        .data(4 * n_numbers);
}

void write_bytes(const std::string& path, std::span<const std::byte> bytes) {
    write_file(path, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

void expect_refused(const std::string& path, std::span<const std::byte> bytes,
                    std::initializer_list<std::string_view> parts) {
    SCOPED_TRACE(path);
    write_bytes(path, bytes);
    expect_error(ErrorCode::kBadFile, parts, [&] { const GgufFile file(path); });
}

std::vector<std::byte> joined(const GgufBytes& first, const GgufBytes& second) {
    std::vector<std::byte> bytes = first.bytes();
    bytes.insert(bytes.end(), second.bytes().begin(), second.bytes().end());
    return bytes;
}

TEST(FileKind, PiecesAreToldFromDamagedFiles) {
    const TempFolder folder;
    const std::vector<std::byte> whole = model().bytes();
    const std::span<const std::byte> bytes = whole;
    for (const size_t cut : {size_t{30}, bytes.size() - 40}) {  // in the header, in the data
        expect_refused(folder / "m.gguf.part1of2", bytes.first(cut), {"raw piece", "cat PIECES > m.gguf"});
        expect_refused(folder / "m-00001-of-00002.gguf", bytes.first(cut),
                       {"raw piece", "cat PIECES > m.gguf"});
        expect_refused(folder / "m.gguf", bytes.first(cut), {"cut short or damaged"});
    }
    const std::vector<std::byte> noise(64, std::byte{0xde});
    expect_refused(folder / "m.gguf-split-b", noise, {"raw piece", "cat PIECES > m.gguf"});
    expect_refused(folder / "m.gguf", noise, {"not a GGUF file"});
    // A shard says itself that it is one: then it was cut short.
    const std::vector<std::byte> first = shard(0, 2, 16).bytes();
    expect_refused(folder / "s-00001-of-00002.gguf", std::span(first).first(first.size() - 40),
                   {"cut short or damaged"});
}

TEST(FileKind, ShardsThatWereJoinedByCat) {
    const TempFolder folder;
    for (const uint64_t n_numbers : {16, 17}) {  // with and without a multiple of the alignment
        const std::vector<std::byte> bytes = joined(shard(0, 2, n_numbers), shard(1, 2, 16));
        expect_refused(folder / "joined.gguf", bytes, {"joined by cat", "llama-gguf-split --merge"});
        expect_refused(folder / "j-00001-of-00002.gguf", bytes,
                       {"joined by cat", "llama-gguf-split --merge"});
    }
    const std::vector<std::byte> padded = joined(shard(0, 2, 17).data(0), shard(1, 2, 16));
    expect_refused(folder / "joined.gguf", padded, {"joined by cat"});
    // The first shard may hold metadata alone.
    const GgufBytes metadata =
        GgufBytes(3, 0, 1).key("split.count", GgufValueType::kUint16).put(uint16_t{2}).data(0);
    expect_refused(folder / "joined.gguf", joined(metadata, shard(1, 2, 16)), {"joined by cat"});

    write_bytes(folder / "s-00001-of-00002.gguf", shard(0, 2, 17).bytes());
    write_bytes(folder / "s-00002-of-00002.gguf", shard(1, 2, 16).bytes());
    EXPECT_EQ(GgufFile(folder / "s-00001-of-00002.gguf").tensors().size(), 2U) << "apart they are a model";
}

}  // namespace
}  // namespace vkmoe
