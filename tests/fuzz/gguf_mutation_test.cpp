// Damages a small valid GGUF file in every way that comes to mind. Each result must be read or refused with
// an Error, never crash; run it under -fsanitize=address,undefined to see reads outside the bytes too.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "formats/gguf.h"
#include "unit/gguf_bytes.h"

namespace vkmoe {
namespace {

using enum GgufValueType;

/// A file with every value type, nested arrays, and tensors of several types.
std::vector<std::byte> valid_file() {
    GgufBytes bytes(3, 3, 14);
    bytes.key("general.alignment", kUint32).put(uint32_t{16});
    bytes.key("u8", kUint8).put(uint8_t{1}).key("i8", kInt8).put(int8_t{-1});
    bytes.key("u16", kUint16).put(uint16_t{2}).key("i16", kInt16).put(int16_t{-2});
    bytes.key("i32", kInt32).put(int32_t{-3}).key("f32", kFloat32).put(0.5f);
    bytes.key("bool", kBool).put(uint8_t{1}).key("text", kString).text("some text");
    bytes.key("u64", kUint64).put(uint64_t{4}).key("f64", kFloat64).put(0.25);
    bytes.key("numbers", kArray).put(kInt32).put(uint64_t{3}).put(1).put(2).put(3);
    bytes.key("texts", kArray).put(kString).put(uint64_t{2}).text("a").text("bc");
    bytes.key("nested", kArray).put(kArray).put(uint64_t{2});
    bytes.put(kBool).put(uint64_t{2}).put(uint16_t{0x0100});
    bytes.put(kArray).put(uint64_t{1}).put(kUint8).put(uint64_t{1}).put(uint8_t{9});
    bytes.tensor("f32", {4, 2}, 0, 0).tensor("q4_k", {256}, 12, 32).tensor("f16", {2, 2, 2}, 1, 176);
    return bytes.data(192, 16).bytes();
}

/// Uses everything that the file hands out.
uint64_t touch(const GgufFile& file, std::span<const std::byte> bytes) {
    uint64_t sum = file.file_bytes();
    for (const GgufEntry& entry : file.entries()) {
        sum += describe(entry.value, 1000, 1000).size() + entry.key.size();
        sum += file.get_or<std::string>("text", "").size() * (entry.value.as<std::string>() ? 1 : 0);
        if (const GgufArray* array = entry.value.array()) {
            sum += array->as<int>() ? 1 : 0;
            sum += array->as<std::string>() ? 1 : 0;
        }
    }
    for (const GgufTensor& tensor : file.tensors()) {
        sum += file.find_tensor(tensor.name) == &tensor ? 1 : 0;
        for (const std::byte b : bytes.subspan(tensor.file_offset, tensor.n_bytes))
            sum += static_cast<uint64_t>(b);
    }
    return sum;
}

/// Whether the bytes were read; anything but an Error escapes and fails the test.
bool reads(const std::vector<std::byte>& bytes) {
    try {
        const GgufFile file("mutated.gguf", bytes);
        EXPECT_GT(touch(file, bytes), 0u);
        return true;
    } catch (const Error& error) {
        const std::string message = error.what();
        EXPECT_TRUE(message.starts_with("mutated.gguf: ") ||
                    message.find("mutated.gguf") != std::string::npos)
            << message;
        EXPECT_EQ(message.find('\n'), std::string::npos) << message;
        return false;
    }
}

TEST(GgufMutation, TheFileItselfIsRead) {
    const std::vector<std::byte> bytes = valid_file();
    ASSERT_TRUE(reads(bytes));
    const GgufFile file("valid.gguf", bytes);
    EXPECT_EQ(file.entries().size(), 14u);
    EXPECT_EQ(file.tensors().size(), 3u);
}

TEST(GgufMutation, EveryTruncationIsRefused) {
    const std::vector<std::byte> bytes = valid_file();
    for (size_t size = 0; size < bytes.size(); ++size) {
        // A vector of just this size, so that a read past it is a read past its allocation.
        const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
        EXPECT_FALSE(reads(cut)) << size << " bytes";
    }
}

TEST(GgufMutation, ExtremeNumbersAnywhere) {
    const std::vector<std::byte> bytes = valid_file();
    const std::array<uint64_t, 12> extremes = {0,
                                               1,
                                               255,
                                               bytes.size(),
                                               0x7FFFFFFF,
                                               0x80000000,
                                               0xFFFFFFFF,
                                               uint64_t{1} << 32,
                                               uint64_t{1} << 61,
                                               uint64_t{1} << 63,
                                               std::numeric_limits<uint64_t>::max() - 31,
                                               std::numeric_limits<uint64_t>::max()};
    size_t n_refused = 0;
    for (size_t at = 0; at < bytes.size(); ++at) {
        for (const uint64_t value : extremes) {
            for (const size_t width : {4, 8}) {
                std::vector<std::byte> mutated = bytes;
                std::memcpy(&mutated[at], &value, std::min(width, bytes.size() - at));
                if (!reads(mutated)) ++n_refused;
            }
        }
    }
    EXPECT_GT(n_refused, bytes.size());
}

TEST(GgufMutation, RandomDamage) {
    const std::vector<std::byte> bytes = valid_file();
    std::mt19937_64 random(2024);
    size_t n_read = 0;
    constexpr size_t kRounds = 60'000;
    for (size_t round = 0; round < kRounds; ++round) {
        std::vector<std::byte> mutated = bytes;
        const uint64_t n_flips = 1 + random() % 4;
        for (uint64_t i = 0; i < n_flips; ++i) {
            std::byte& target = mutated[random() % mutated.size()];
            // Half the time one bit, half the time any byte.
            const std::byte change =
                random() % 2 == 0 ? std::byte{1} << (random() % 8) : static_cast<std::byte>(random());
            target ^= change;
        }
        if (reads(mutated)) ++n_read;
    }
    // Damage within values and data is harmless, damage to the structure is not: both must have been met.
    EXPECT_GT(n_read, kRounds / 20);
    EXPECT_LT(n_read, kRounds - kRounds / 20);
}

TEST(GgufMutation, SplicedPieces) {
    const std::vector<std::byte> bytes = valid_file();
    std::mt19937_64 random(77);
    size_t n_refused = 0;
    for (int round = 0; round < 30'000; ++round) {
        std::vector<std::byte> mutated = bytes;
        const size_t from = random() % bytes.size();
        const size_t to = random() % bytes.size();
        const size_t length = random() % std::min<size_t>(64, bytes.size() - std::max(from, to)) + 1;
        if (round % 2 == 0) {
            std::memcpy(&mutated[to], &bytes[from], length);
        } else {
            mutated.erase(mutated.begin() + static_cast<std::ptrdiff_t>(to),
                          mutated.begin() + static_cast<std::ptrdiff_t>(to + length));
            mutated.shrink_to_fit();
        }
        if (!reads(mutated)) ++n_refused;
    }
    EXPECT_GT(n_refused, 1000u);
}

}  // namespace
}  // namespace vkmoe
