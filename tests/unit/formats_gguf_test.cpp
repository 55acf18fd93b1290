#include "base/error.h"
#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "base/input_file.h"
#include "formats/gguf_writer.h"
#include "unit/error_matching.h"
#include "unit/gguf_bytes.h"
#include "unit/temp_folder.h"

namespace vkmoe {
namespace {

using enum GgufValueType;

std::vector<std::byte> counted(size_t n) {
    std::vector<std::byte> bytes(n);
    for (size_t i = 0; i < n; ++i) bytes[i] = static_cast<std::byte>(i);
    return bytes;
}

// --- what is written is read

TEST(Gguf, EveryScalarTypeComesBack) {
    GgufWriter writer;
    writer.set("u8", uint8_t{255});
    writer.set("i8", int8_t{-128});
    writer.set("u16", uint16_t{65535});
    writer.set("i16", int16_t{-32768});
    writer.set("u32", uint32_t{4294967295});
    writer.set("i32", int32_t{-2147483647});
    writer.set("u64", std::numeric_limits<uint64_t>::max());
    writer.set("i64", std::numeric_limits<int64_t>::min());
    writer.set("f32", 0.1f);
    writer.set("f64", 0.1);
    writer.set("true", true);
    writer.set("text", "grüße");
    const std::vector<std::byte> bytes = writer.to_bytes();
    EXPECT_EQ(bytes.size(), writer.file_bytes());
    const GgufFile file("mem.gguf", bytes);
    EXPECT_EQ(file.version(), 3u);
    EXPECT_EQ(file.get<uint8_t>("u8"), 255);
    EXPECT_EQ(file.get<int8_t>("i8"), -128);
    EXPECT_EQ(file.get<uint16_t>("u16"), 65535);
    EXPECT_EQ(file.get<int16_t>("i16"), -32768);
    EXPECT_EQ(file.get<uint32_t>("u32"), 4294967295u);
    EXPECT_EQ(file.get<int32_t>("i32"), -2147483647);
    EXPECT_EQ(file.get<uint64_t>("u64"), std::numeric_limits<uint64_t>::max());
    EXPECT_EQ(file.get<int64_t>("i64"), std::numeric_limits<int64_t>::min());
    EXPECT_EQ(file.get<float>("f32"), 0.1f);
    EXPECT_EQ(file.get<double>("f64"), 0.1);
    EXPECT_TRUE(file.get<bool>("true"));
    EXPECT_EQ(file.get<std::string>("text"), "grüße");
    std::string all;
    for (const GgufEntry& entry : file.entries()) {
        all += fmt::format("{} {}={} ", entry.key, gguf_value_type_name(entry.value.type()),
                           describe(entry.value));
    }
    EXPECT_EQ(
        all,
        "u8 u8=255 i8 i8=-128 u16 u16=65535 i16 i16=-32768 u32 u32=4294967295 i32 i32=-2147483647 "
        "u64 u64=18446744073709551615 i64 i64=-9223372036854775808 f32 f32=0.1 f64 f64=0.1 true bool=true "
        "text string=\"grüße\" ");
}

TEST(Gguf, IntegersConvertWhereTheyFit) {
    GgufWriter writer;
    writer.set("u8", uint8_t{200});
    writer.set("i32", int32_t{-5});
    writer.set("u64", uint64_t{1} << 32);
    writer.set("f32", 1.0f);
    writer.set("text", "7");
    const std::vector<std::byte> bytes = writer.to_bytes();
    const GgufFile file("mem.gguf", bytes);
    EXPECT_EQ(file.get<uint64_t>("u8"), 200u);
    EXPECT_EQ(file.get<int16_t>("u8"), 200);
    EXPECT_EQ(file.get<int64_t>("i32"), -5);
    EXPECT_EQ(file.get<double>("f32"), 1.0);
    EXPECT_EQ(file.get_or<uint32_t>("missing", 9), 9u);
    EXPECT_EQ(file.get_or<std::string>("missing", "none"), "none");
    const auto bad = [&file](auto type, std::initializer_list<std::string_view> parts) {
        expect_error(ErrorCode::kBadFile, parts, [&] { file.get<decltype(type)>(*(parts.begin() + 1)); });
    };
    bad(int8_t{}, {"mem.gguf", "u8", "200"});
    bad(uint32_t{}, {"mem.gguf", "i32", "-5"});
    bad(uint32_t{}, {"mem.gguf", "u64", "4294967296", "0 to 2^32-1"});
    bad(uint32_t{}, {"mem.gguf", "f32", "integer"});
    bad(float{}, {"mem.gguf", "u8", "float"});
    bad(bool{}, {"mem.gguf", "u8", "bool"});
    bad(uint32_t{}, {"mem.gguf", "text", "\"7\""});
    bad(std::string{}, {"mem.gguf", "u8", "string"});
    bad(uint32_t{}, {"mem.gguf", "missing"});
    expect_error(ErrorCode::kBadFile, {"mem.gguf", "text"}, [&] { file.get_or<uint32_t>("text", 1); });
}

TEST(Gguf, ArraysComeBack) {
    constexpr size_t kTokens = 150'000;
    std::vector<std::string> tokens(kTokens);
    for (size_t i = 0; i < kTokens; ++i) tokens[i] = fmt::format("token {}", i);
    GgufWriter writer;
    writer.set_array("tokens", tokens);
    writer.set_array("types", std::vector<int32_t>{1, -2, 3});
    writer.set_array("scores", std::vector<float>{0.5f, -1e10f});
    writer.set_array("none", std::vector<uint32_t>{});
    constexpr std::array kFlags = {true, false};
    writer.set_array<bool>("flags", kFlags);
    const std::vector<std::byte> bytes = writer.to_bytes();
    const GgufFile file("mem.gguf", bytes);
    EXPECT_EQ(file.get_array<std::string>("tokens"), tokens);
    EXPECT_EQ(file.find("tokens")->array()->strings()[kTokens - 1], "token 149999");
    EXPECT_EQ(file.get_array<int64_t>("types"), (std::vector<int64_t>{1, -2, 3}));
    EXPECT_EQ(file.get_array<float>("scores"), (std::vector<float>{0.5f, -1e10f}));
    EXPECT_EQ(file.get_array<uint32_t>("none"), std::vector<uint32_t>{});
    EXPECT_EQ(file.get_array<bool>("flags"), (std::vector<bool>{true, false}));
    EXPECT_EQ(describe(*file.find("tokens"), 2), "[\"token 0\", \"token 1\", ... 150000 in all]");
    expect_error(ErrorCode::kBadFile, {"mem.gguf", "types", "[1, -2, 3]", "array"},
                 [&] { file.get_array<uint32_t>("types"); });
    expect_error(ErrorCode::kBadFile, {"mem.gguf", "types"}, [&] { file.get<int32_t>("types"); });
    expect_error(ErrorCode::kBadFile, {"mem.gguf", "missing"}, [&] { file.get_array<float>("missing"); });
}

TEST(Gguf, NestedArraysComeBack) {
    GgufBytes bytes(3, 0, 1);
    bytes.key("nested", kArray).put(kArray).put(uint64_t{2});
    bytes.put(kUint16).put(uint64_t{2}).put(uint16_t{7}).put(uint16_t{8});
    bytes.put(kString).put(uint64_t{1}).text("x");
    const GgufFile file("mem.gguf", bytes.bytes());
    const GgufArray* nested = file.find("nested")->array();
    ASSERT_EQ(nested->size(), 2u);
    EXPECT_EQ(nested->arrays()[0].as<int>(), (std::vector<int>{7, 8}));
    EXPECT_EQ(nested->arrays()[1].as<std::string>(), std::vector<std::string>{"x"});
    EXPECT_EQ(nested->as<int>(), std::nullopt);
    EXPECT_EQ(describe(*file.find("nested")), "[[7, 8], [\"x\"]]");
}

TEST(Gguf, TensorsComeBack) {
    for (const uint32_t alignment : {8u, 32u, 4096u}) {
        const std::vector<std::byte> a = counted(3 * 4);
        const std::vector<std::byte> b = counted(2 * 3 * 5 * 144);
        GgufWriter writer(alignment);
        writer.set("general.architecture", "llama");
        writer.add_tensor("a", TensorType::kF32, {3}, a);
        writer.add_tensor("b", TensorType::kQ4_K, {512, 3, 5}, [&b](const GgufWriter::Sink& sink) {
            sink(std::span(b).first(100));
            sink(std::span(b).subspan(100));
        });
        const TempFolder folder;
        writer.write(folder / "model.gguf");
        EXPECT_EQ(std::filesystem::file_size(folder / "model.gguf"), writer.file_bytes());
        GgufFile opened(folder / "model.gguf");
        const GgufFile file = std::move(opened);
        EXPECT_EQ(file.alignment(), alignment);
        EXPECT_EQ(file.file_bytes(), writer.file_bytes());
        EXPECT_EQ(file.get<std::string>("general.architecture"), "llama");
        ASSERT_EQ(file.tensors().size(), 2u);
        EXPECT_EQ(file.find_tensor("c"), nullptr);
        const GgufTensor& found = file.tensor("b", {512, 3, 5});
        EXPECT_EQ(found.type, TensorType::kQ4_K);
        EXPECT_EQ(found.n_dims, 3u);
        EXPECT_EQ(found.n_elements(), 512u * 3 * 5);
        EXPECT_EQ(found.n_rows(), 15u);
        EXPECT_EQ(found.file_offset % alignment, 0u);
        const std::vector<std::byte> bytes = read_whole_file(folder / "model.gguf");
        const auto data_of = [&bytes](const GgufTensor& tensor) {
            return std::span(bytes).subspan(tensor.file_offset, tensor.n_bytes);
        };
        EXPECT_TRUE(std::ranges::equal(data_of(found), b));
        EXPECT_TRUE(std::ranges::equal(data_of(file.tensor("a", {3, 1})), a));
        expect_error(ErrorCode::kBadFile, {"model.gguf", "'b'", "[512 x 3 x 5]", "[512 x 5 x 3]"}, [&] {
            file.tensor("b", {512, 5, 3});
        });
        expect_error(ErrorCode::kBadFile, {"model.gguf", "'c'", "missing"}, [&] { file.tensor("c"); });
    }
}

TEST(Gguf, Version2IsReadAlike) {
    GgufBytes bytes(2, 1, 1);
    bytes.key("k", kUint32).put(uint32_t{5}).tensor("t", {2}, 0, 0).data(0).put(1.5f).put(2.5f);
    const GgufFile file("mem.gguf", bytes.bytes());
    EXPECT_EQ(file.version(), 2u);
    EXPECT_EQ(file.get<uint32_t>("k"), 5u);
    EXPECT_EQ(file.tensor("t").n_bytes, 8u);
}

TEST(GgufWriter, RefusesWhatNoFileCanHold) {
    const auto nothing = [](const GgufWriter::Sink&) {};
    GgufWriter writer;
    writer.set("key", true);
    writer.add_tensor("t", TensorType::kF32, {4}, nothing);
    const auto refuses = [](std::initializer_list<std::string_view> parts, auto fn) {
        expect_error(ErrorCode::kInvalidArgument, parts, fn);
    };
    refuses({"'key'"}, [&] { writer.set("key", 1.0f); });
    refuses({"'t'"}, [&] { writer.add_tensor("t", TensorType::kF32, {4}, nothing); });
    refuses({"'q'", "Q4_K", "[128]"}, [&] { writer.add_tensor("q", TensorType::kQ4_K, {128}, nothing); });
    refuses({"'z'", "[4 x 0]"}, [&] { writer.add_tensor("z", TensorType::kF32, {4, 0}, nothing); });
    refuses({"'l'", "large"}, [&] { writer.add_tensor("l", TensorType::kF32, {4, 1ull << 62}, nothing); });
    refuses({"'d'"}, [&] { writer.add_tensor("d", TensorType::kF32, {1, 1, 1, 1, 1}, nothing); });
    refuses({"24"}, [] { GgufWriter odd(24); });

    const TempFolder folder;
    expect_error(ErrorCode::kInternal, {"'t'", "0 bytes", "16"}, [&] { writer.write(folder / "out.gguf"); });
    EXPECT_EQ(folder.n_files(), 0u);
}

// --- files that are wrong

struct Broken {
    const char* what;
    GgufBytes bytes;
    std::vector<std::string_view> message;  // parts of it
    ErrorCode code = ErrorCode::kBadFile;
};

void expect_refused(const std::vector<Broken>& files) {
    for (const Broken& file : files) {
        SCOPED_TRACE(file.what);
        try {
            const GgufFile opened("broken.gguf", file.bytes.bytes());
            ADD_FAILURE() << "was read";
        } catch (const Error& error) {
            const std::string message = error.what();
            EXPECT_EQ(error.code(), file.code) << message;
            EXPECT_TRUE(message.starts_with("broken.gguf: ")) << message;
            EXPECT_EQ(message.find('\n'), std::string::npos) << message;
            for (const std::string_view part : file.message) {
                EXPECT_NE(message.find(part), std::string::npos) << "no \"" << part << "\" in: " << message;
            }
        }
    }
}

GgufBytes entry(std::string_view name, GgufValueType type) {
    return GgufBytes(3, 0, 1).key(name, type);
}

TEST(Gguf, RefusesBadHeaders) {
    const uint64_t huge = uint64_t{1} << 60;
    expect_refused({
        {"empty", GgufBytes(), {"empty"}},
        {"two bytes", GgufBytes().raw("GG"), {"not a GGUF file", "\"GG\""}},
        {"another format", GgufBytes().raw("PK\x03\x04 and more"), {"not a GGUF file", "zip archive"}},
        {"noise", GgufBytes().raw("\xfe\xed\xfa\xce noise"), {"not a GGUF file", "\"\\xfe\\xed\\xfa\\xce\""}},
        {"Git LFS",
         GgufBytes().raw("version https://git-lfs.github.com/spec/v1\n"),
         {"Git LFS", "git lfs pull"}},
        {"version 1", GgufBytes(1, 0, 0), {"version 1", "replaced in 2023"}, ErrorCode::kUnsupported},
        {"version 4", GgufBytes(4, 0, 0), {"version 4"}, ErrorCode::kUnsupported},
        {"big-endian", GgufBytes(0x03000000, 0, 0), {"big-endian", "convert"}, ErrorCode::kUnsupported},
        {"no counts", GgufBytes().raw("GGUF").put(uint32_t{3}), {"ends within", "tensor count"}},
        {"many tensors", GgufBytes(3, huge, 0), {"1152921504606846976 tensors"}},
        {"many entries", GgufBytes(3, 0, huge), {"1152921504606846976 metadata entries"}},
    });
}

TEST(Gguf, RefusesBadMetadata) {
    const uint64_t huge = std::numeric_limits<uint64_t>::max();
    GgufBytes deep = entry("deep", kArray);
    for (int i = 0; i < 100; ++i) deep.put(kArray).put(uint64_t{1});
    expect_refused({
        {"key past the end", GgufBytes(3, 0, 1).put(huge).raw("12345678"), {"metadata key 0", "ends within"}},
        {"empty key", entry("", kUint32).put(uint32_t{1}), {"metadata key 0", "empty"}},
        {"same key",
         GgufBytes(3, 0, 2).key("k", kUint8).put('a').key("k", kUint8).put('a').data(32),
         {"'k'", "twice"}},
        {"value cut short", entry("k", kUint64).put(uint32_t{1}), {"'k'", "ends within"}},
        {"string past the end", entry("k", kString).put(huge).raw("12345678"), {"'k'", "ends within"}},
        {"unknown type", entry("k", GgufValueType{13}).data(32), {"'k'", "value type 13"}},
        {"unknown element type", entry("k", kArray).put(uint32_t{99}).data(32), {"'k'", "value type 99"}},
        {"bool of 2", entry("k", kBool).put(uint8_t{2}), {"'k'", "neither 0 nor 1"}},
        {"long array", entry("k", kArray).put(kFloat64).put(huge / 8 + 2).data(32), {"'k'", "elements"}},
        {"long string array", entry("k", kArray).put(kString).put(huge).data(32), {"'k'", "elements"}},
        {"long nested array", entry("k", kArray).put(kArray).put(huge).data(32), {"'k'", "elements"}},
        {"deep nesting", deep, {"'deep'", "nests"}},
        {"alignment 24", entry("general.alignment", kUint32).put(uint32_t{24}), {"general.alignment", "24"}},
        {"alignment 0", entry("general.alignment", kUint32).put(uint32_t{0}), {"general.alignment", "is 0"}},
        {"alignment text", entry("general.alignment", kString).text("x"), {"general.alignment", "\"x\""}},
        {"key with controls", entry("a\nb", kUint64).put('a'), {"'a\\nb'"}},
        {"part of a split",
         entry("split.count", kUint16).put(uint16_t{2}),
         {"split"},
         ErrorCode::kUnsupported},
        {"split count text", entry("split.count", kString).text("x"), {"split.count", "\"x\""}},
    });
}

GgufBytes one_tensor(std::vector<uint64_t> shape, uint32_t type, uint64_t offset) {
    return GgufBytes(3, 1, 0).tensor("blk.0.w", std::move(shape), type, offset).data(4096);
}

GgufBytes two_tensors(std::string_view first, std::string_view second, uint64_t second_offset) {
    return GgufBytes(3, 2, 0).tensor(first, {16}, 0, 0).tensor(second, {16}, 0, second_offset).data(128);
}

TEST(Gguf, RefusesBadTensors) {
    const uint64_t large = uint64_t{1} << 40;
    expect_refused({
        {"no dimension", one_tensor({}, 0, 0), {"'blk.0.w'", "0 dimensions"}},
        {"five dimensions", one_tensor({1, 1, 1, 1, 1}, 0, 0), {"'blk.0.w'", "5 dimensions"}},
        {"dimension 0", one_tensor({32, 0}, 0, 0), {"'blk.0.w'", "[32 x 0]"}},
        {"elements overflow", one_tensor({large, large}, 0, 0), {"'blk.0.w'", "impossible"}},
        {"wraps around to 0",
         one_tensor({uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0),
         {"'blk.0.w'", "impossible"}},
        {"bytes overflow", one_tensor({large, 1 << 22}, 0, 0), {"'blk.0.w'", "impossible"}},
        {"ragged row", one_tensor({255, 2}, 12, 0), {"'blk.0.w'", "Q4_K", "255", "256"}},
        {"unknown type", one_tensor({32}, 77, 0), {"'blk.0.w'", "unknown type id 77"}},
        {"misaligned", one_tensor({32}, 0, 16), {"'blk.0.w'", "offset 16", "aligned to 32"}},
        {"starts outside", one_tensor({32}, 0, 8192), {"'blk.0.w'", "past the end"}},
        {"ends outside", one_tensor({1024, 2}, 0, 0), {"'blk.0.w'", "past the end", "8192"}},
        {"offset overflow", one_tensor({32}, 0, ~uint64_t{31}), {"'blk.0.w'", "past the end"}},
        {"no data", GgufBytes(3, 1, 0).tensor("blk.0.w", {1}, 0, 0), {"'blk.0.w'", "past the end"}},
        {"overlap", two_tensors("a", "b", 32), {"'a'", "32 bytes up to the next tensor", "need 64"}},
        {"same place", two_tensors("a", "b", 0), {"'a'", "0 bytes up to the next tensor", "need 64"}},
        {"same name", two_tensors("a", "a", 64), {"'a'", "twice"}},
        {"empty name", two_tensors("a", "", 64), {"tensor 1", "empty name"}},
    });
}

TEST(Gguf, NamesTheTypesOfOtherPrograms) {
    struct Case {
        uint32_t id;
        std::string_view name;
    };
    for (const auto& [id, name] :
         {Case{4, "Q4_2"}, Case{15, "Q8_K"}, Case{36, "I2_S"}, Case{139, "IQ4_K of ik_llama.cpp"},
          Case{156, "IQ3_KS of ik_llama.cpp"}, Case{210, "ik_llama.cpp"}}) {
        const std::vector<std::byte> bytes = one_tensor({256}, id, 0).bytes();
        expect_error(ErrorCode::kUnsupported,
                     {"mem.gguf", "'blk.0.w'", fmt::format("type id {}", id), name, "get the model as"},
                     [&] { GgufFile("mem.gguf", bytes); });
    }
}

constexpr uint64_t kBlocks = 64;

/// Two tensors of kBlocks blocks, which take block_bytes each in the file.
std::vector<std::byte> two_of_blocks(const TensorTypeInfo& info, uint64_t block_bytes) {
    const auto id = static_cast<uint32_t>(info.type);
    const uint64_t size = kBlocks * block_bytes;  // a multiple of the alignment
    return GgufBytes(3, 2, 0)
        .tensor("a", {kBlocks * info.block_elements}, id, 0)
        .tensor("b", {kBlocks * info.block_elements}, id, size)
        .data(2 * size)
        .bytes();
}

// Other programs number types of their own as ours: nothing but the number of bytes tells them apart.
TEST(Gguf, RefusesBlocksOfAnotherSize) {
    for (const TensorType type :
         {TensorType::kNVFP4, TensorType::kQ1_0, TensorType::kQ2_0, TensorType::kQ8_0, TensorType::kQ4_K}) {
        const TensorTypeInfo& info = tensor_type_info(type);
        SCOPED_TRACE(info.name);
        EXPECT_EQ(GgufFile("mem.gguf", two_of_blocks(info, info.block_bytes)).tensors().size(), 2U);
        for (const uint64_t block_bytes :
             {info.block_bytes - 2, info.block_bytes + 2, 2 * info.block_bytes}) {
            const std::vector<std::byte> bytes = two_of_blocks(info, block_bytes);
            expect_error(ErrorCode::kBadFile,
                         {"mem.gguf", "'a'", fmt::format("has {} bytes", kBlocks * block_bytes), info.name,
                          fmt::format("id {}", static_cast<uint32_t>(type)),
                          fmt::format("need {}", kBlocks * info.block_bytes)},
                         [&] { GgufFile("mem.gguf", bytes); });
        }
    }
}

TEST(Gguf, RefusesDataOfNoTensor) {
    const auto file = [](uint64_t offset, size_t n_bytes) {
        return GgufBytes(3, 1, 0).tensor("a", {5}, 0, offset).data(n_bytes).bytes();
    };
    const auto refused = [&](uint64_t offset, size_t n_bytes, std::initializer_list<std::string_view> parts) {
        const std::vector<std::byte> bytes = file(offset, n_bytes);
        expect_error(ErrorCode::kBadFile, parts, [&] { GgufFile("mem.gguf", bytes); });
    };
    // The last tensor may have its padding, a part of it or none.
    for (const size_t n_bytes : {20, 21, 31, 32}) {
        const std::vector<std::byte> bytes = file(0, n_bytes);
        EXPECT_EQ(GgufFile("mem.gguf", bytes).tensors()[0].n_bytes, 20U);
    }
    refused(0, 33, {"'a'", "33 bytes up to the end of the file", "need 20"});
    refused(0, 64, {"'a'", "64 bytes up to the end of the file", "need 20"});
    refused(32, 52, {"32 bytes that belong to no tensor"});
}

// --- split models

/// Part `part` of `count`, with one tensor named t<part> whose bytes are all `part`.
void write_part(const std::string& path, uint16_t part, uint16_t count, int32_t n_tensors) {
    GgufWriter writer;
    if (part == 0) writer.set("general.architecture", "llama");
    writer.set("split.no", part);
    writer.set("split.count", count);
    writer.set("split.tensors.count", n_tensors);
    const std::vector<std::byte> bytes(16, static_cast<std::byte>(part));
    writer.add_tensor(fmt::format("t{}", part), TensorType::kF32, {4}, bytes);
    writer.write(path);
}

std::string part_name(int part) {
    return fmt::format("model-0000{}-of-00003.gguf", part + 1);
}

TEST(GgufSplit, AnyPartOpensAll) {
    const TempFolder folder;
    for (uint16_t i = 0; i < 3; ++i) write_part(folder / part_name(i), i, 3, 3);
    for (int opened = 0; opened < 3; ++opened) {
        const GgufFile file(folder / part_name(opened));
        EXPECT_EQ(file.path(), folder / part_name(opened));
        EXPECT_EQ(file.n_parts(), 3u);
        EXPECT_EQ(file.get<std::string>("general.architecture"), "llama");
        ASSERT_EQ(file.tensors().size(), 3u);
        for (uint32_t i = 0; i < 3; ++i) {
            const GgufTensor& tensor = file.tensors()[i];
            EXPECT_EQ(tensor.name, fmt::format("t{}", i));
            EXPECT_EQ(tensor.part, i);
            EXPECT_EQ(file.part_path(tensor.part), folder / part_name(static_cast<int>(i)));
            const GgufLocation location = file.location(tensor);
            EXPECT_EQ(location.path, folder / part_name(static_cast<int>(i)));
            EXPECT_EQ(read_file(location.path).substr(location.offset, 16),
                      std::string(16, static_cast<char>(i)));
        }
    }
}

TEST(Gguf, InMemoryHasNoLocations) {
    const GgufBytes bytes = two_tensors("a", "b", 64);
    const GgufFile file("memory", bytes.bytes());
    EXPECT_FALSE(file.in_files());
    expect_error(ErrorCode::kUnsupported, {"memory", "'a'"}, [&] { file.location(file.tensor("a")); });
}

TEST(GgufSplit, SaysWhatDoesNotBelongTogether) {
    const TempFolder folder;
    const auto open = [&folder](const std::string& name) {
        return [path = folder / name] { const GgufFile file(path); };
    };
    for (uint16_t i = 0; i < 3; ++i) write_part(folder / part_name(i), i, 3, 3);

    std::filesystem::remove(folder / part_name(1));
    expect_error(ErrorCode::kIo, {part_name(0), "part 2 of 3", part_name(1), "missing"}, open(part_name(0)));
    expect_error(ErrorCode::kIo, {part_name(2), "part 2 of 3", part_name(1), "missing"}, open(part_name(2)));

    write_part(folder / part_name(1), 1, 4, 3);
    expect_error(ErrorCode::kBadFile, {part_name(1), "part 2 of 4", "part 2 of 3"}, open(part_name(0)));

    write_file(folder / part_name(1), "no GGUF");
    expect_error(ErrorCode::kBadFile, {part_name(1), "not a GGUF file"}, open(part_name(0)));

    std::filesystem::copy_file(folder / part_name(0), folder / part_name(1),
                               std::filesystem::copy_options::overwrite_existing);
    expect_error(ErrorCode::kBadFile, {part_name(1), "'t0'", part_name(0)}, open(part_name(0)));

    write_part(folder / part_name(1), 1, 3, 3);
    write_part(folder / part_name(0), 0, 3, 7);
    expect_error(ErrorCode::kBadFile, {part_name(2), "3 tensors", "split.tensors.count", "7"},
                 open(part_name(2)));

    std::filesystem::rename(folder / part_name(0), folder / "renamed.gguf");
    expect_error(ErrorCode::kBadFile, {"renamed.gguf", "part 1 of 3", "-00001-of-00003.gguf"},
                 open("renamed.gguf"));
}

TEST(Gguf, UnreadableFilesNameThePath) {
    const TempFolder folder;
    expect_error(ErrorCode::kIo, {"nowhere.gguf", "No such file"},
                 [&] { GgufFile file(folder / "nowhere.gguf"); });
    expect_error(ErrorCode::kIo, {"folder"}, [&] { GgufFile file(folder / ""); });
    write_file(folder / "empty.gguf", "");
    expect_error(ErrorCode::kBadFile, {"empty.gguf", "is empty"},
                 [&] { GgufFile file(folder / "empty.gguf"); });
}

/// What comes before the tensors is in memory, however long it is, so that a file that is cut short later
/// does no harm.
TEST(Gguf, IsReadWhenItIsOpened) {
    const TempFolder folder;
    std::vector<std::string> words(300'000);
    for (size_t i = 0; i < words.size(); ++i) words[i] = fmt::format("word {}", i);
    GgufWriter writer;
    writer.set_array("words", std::span<const std::string>(words));
    writer.add_tensor("t", TensorType::kF32, {4},
                      [](const GgufWriter::Sink& sink) { sink(std::vector<std::byte>(16)); });
    writer.write(folder / "long.gguf");
    ASSERT_GT(writer.file_bytes(), 4'000'000U) << "longer than what is read at first";
    const GgufFile file(folder / "long.gguf");
    std::filesystem::resize_file(folder / "long.gguf", 10);
    EXPECT_EQ(file.get_array<std::string>("words"), words);
    EXPECT_EQ(file.tensor("t", {4}).n_bytes, 16U);
}

TEST(Gguf, AHeaderBeyondReasonIsRefusedWithoutReadingIt) {
    const TempFolder folder;
    const std::string path = folder / "huge.gguf";
    GgufBytes bytes(3, 0, 1);
    bytes.key("k", GgufValueType::kString).put(uint64_t{2} << 30);
    const auto start = bytes.bytes();
    write_file(path, {reinterpret_cast<const char*>(start.data()), start.size()});
    std::filesystem::resize_file(path, uint64_t{3} << 30);  // with a hole
    expect_error(ErrorCode::kBadFile, {path, "metadata", "1024 MiB"}, [&] { const GgufFile file(path); });
}

TEST(Printable, EscapesWhatWouldBreakALine) {
    EXPECT_EQ(printable("plain – grüße 日本 🙂"), "plain – grüße 日本 🙂");
    EXPECT_EQ(printable("a\nb\tc\x01\x7f"), "a\\nb\\tc\\x01\\x7f");
    EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");                             // stray bytes
    EXPECT_EQ(printable("\xc0\xaf\xed\xa0\x80"), "\\xc0\\xaf\\xed\\xa0\\x80");  // overlong, surrogate
    EXPECT_EQ(printable("\xe2\x80\xa8\xc2\x85"), "\\xe2\\x80\\xa8\\xc2\\x85");  // line separator, next line
    EXPECT_EQ(printable("ööööö", 3), "ööö...");
}

}  // namespace
}  // namespace vkmoe
