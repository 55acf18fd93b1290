#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "formats/blocks_visit.h"
#include "formats/codebooks.h"
#include "formats/half.h"
#include "unit/quantized_rows.h"

namespace vkmoe {
namespace {

// --- dequantize against formulas written down per number, in double

/// Any bytes, with the scales at these offsets made ordinary numbers.
std::vector<uint8_t> patterned(TensorType type, size_t n_blocks, std::span<const size_t> scale_offsets) {
    const size_t block_bytes = tensor_type_info(type).block_bytes;
    std::mt19937_64 random(11);
    std::vector<uint8_t> bytes(n_blocks * block_bytes);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    constexpr std::array<uint16_t, 6> kScales = {0x2E66, 0xB123, 0x0001, 0x83FF, 0x7BFF, 0x0000};
    for (size_t b = 0; b < n_blocks; ++b) {
        for (size_t i = 0; i < scale_offsets.size(); ++i) {
            const uint16_t scale = kScales[(b + 5 * i) % kScales.size()];
            std::memcpy(&bytes[b * block_bytes + scale_offsets[i]], &scale, sizeof scale);
        }
    }
    return bytes;
}

double half_at(const uint8_t* bytes) {
    return half_to_float(static_cast<uint16_t>(bytes[0] | (bytes[1] << 8)));
}

/// Calls expected(block, i) for number i of each block. All products here are exact in double, and in float
/// all but the last operation are, so the one rounding to float must give the very same bits.
template <typename Expected>
void expect_numbers(TensorType type, std::vector<size_t> scale_offsets, Expected expected) {
    const TensorTypeInfo& info = tensor_type_info(type);
    constexpr size_t kBlocks = 30;
    const std::vector<uint8_t> bytes = patterned(type, kBlocks, scale_offsets);
    const std::vector<float> numbers = dequantized(type, bytes);
    for (size_t i = 0; i < numbers.size(); ++i) {
        const uint8_t* block = &bytes[i / info.block_elements * info.block_bytes];
        const double value = expected(block, i % info.block_elements);
        ASSERT_EQ(numbers[i], static_cast<float>(value)) << info.name << ", number " << i;
    }
}

TEST(Dequantize, Q4_0) {
    expect_numbers(TensorType::kQ4_0, {0}, [](const uint8_t* block, size_t i) {
        const int q = i < 16 ? block[2 + i] % 16 : block[2 + i - 16] / 16;
        return half_at(block) * (q - 8);
    });
}

TEST(Dequantize, Q8_0) {
    expect_numbers(TensorType::kQ8_0, {0}, [](const uint8_t* block, size_t i) {
        return half_at(block) * std::bit_cast<int8_t>(block[2 + i]);
    });
}

/// d * scale and dmin * min of number i in a Q4_K or Q5_K block.
std::pair<double, double> scale_and_min(const uint8_t* block, size_t i) {
    const uint8_t* packed = block + 4;
    const size_t g = i / 32;
    const int scale = g < 4 ? packed[g] % 64 : packed[g + 4] % 16 + packed[g - 4] / 64 * 16;
    const int min = g < 4 ? packed[g + 4] % 64 : packed[g + 4] / 16 + packed[g] / 64 * 16;
    return {half_at(block) * scale, half_at(block + 2) * min};
}

TEST(Dequantize, Q4_K) {
    expect_numbers(TensorType::kQ4_K, {0, 2}, [](const uint8_t* block, size_t i) {
        const uint8_t byte = block[16 + i / 64 * 32 + i % 32];
        const auto [scale, min] = scale_and_min(block, i);
        return scale * (i % 64 < 32 ? byte % 16 : byte / 16) - min;
    });
}

TEST(Dequantize, Q5_K) {
    expect_numbers(TensorType::kQ5_K, {0, 2}, [](const uint8_t* block, size_t i) {
        const uint8_t byte = block[48 + i / 64 * 32 + i % 32];
        const bool fifth = (block[16 + i % 32] & (1 << (i / 32))) != 0;
        const auto [scale, min] = scale_and_min(block, i);
        return scale * ((i % 64 < 32 ? byte % 16 : byte / 16) + (fifth ? 16 : 0)) - min;
    });
}

TEST(Dequantize, Q6_K) {
    expect_numbers(TensorType::kQ6_K, {208}, [](const uint8_t* block, size_t i) {
        const size_t half = i / 128;
        const size_t in_half = i % 128;
        const uint8_t byte = block[64 * half + in_half % 64];
        const int low = in_half < 64 ? byte % 16 : byte / 16;
        const int high = (block[128 + 32 * half + in_half % 32] >> (in_half / 32 * 2)) % 4;
        return half_at(block + 208) * std::bit_cast<int8_t>(block[192 + i / 16]) * (low + 16 * high - 32);
    });
}

// --- dequantize against the Python package, on the file that tests/peers/dequantize_check.py --golden makes

std::vector<uint8_t> from_hex(const std::string& text) {
    std::vector<uint8_t> bytes(text.size() / 2);
    for (size_t i = 0; i < bytes.size(); ++i) {
        std::from_chars(text.data() + 2 * i, text.data() + 2 * i + 2, bytes[i], 16);
    }
    return bytes;
}

/// The bits, of any NaN 0x7FC00000.
uint32_t bits_of(float number) {
    return std::bit_cast<uint32_t>(std::isnan(number) ? std::numeric_limits<float>::quiet_NaN() : number);
}

uint64_t fnv1a(const std::vector<float>& numbers) {
    uint64_t hash = 0xCBF29CE484222325;
    for (const float number : numbers) {
        for (uint32_t i = 0; i < 4; ++i) hash = (hash ^ ((bits_of(number) >> (8 * i)) & 255)) * 0x100000001B3;
    }
    return hash;
}

TEST(Dequantize, EveryTypeAgreesWithTheGgufPackage) {
    std::ifstream file(VKMOE_SOURCE_DIR "/tests/unit/dequantize_golden.txt");
    std::map<TensorType, int> n_blocks;
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with('#')) continue;
        std::istringstream words(line);
        std::string name;
        std::string block;
        uint64_t hash = 0;
        words >> name >> block >> std::hex >> hash;
        const TensorType type = tensor_type_from_name(name).value();
        const std::vector<float> numbers = dequantized(type, from_hex(block));
        const size_t n = tensor_type_info(type).block_elements;
        ASSERT_EQ(numbers.size(), n);
        for (size_t k = 0; k < 4; ++k) {
            uint32_t bits = 0;
            words >> bits;
            const size_t i = (k * n / 4 + k) % n;
            EXPECT_EQ(bits_of(numbers[i]), bits) << name << ", number " << i << " of block " << block;
        }
        ASSERT_FALSE(words.fail()) << line;
        EXPECT_EQ(fnv1a(numbers), hash) << name << ", some number of block " << block;
        ++n_blocks[type];
    }
    for (const TensorTypeInfo& info : tensor_types()) EXPECT_EQ(n_blocks[info.type], 6) << info.name;
}

TEST(Dequantize, ReadsFromAnyAddress) {
    for (const TensorTypeInfo& info : tensor_types()) {
        const size_t n = 2 * info.block_elements;
        const std::vector<uint8_t> bytes = random_bytes(row_bytes(info.type, n), 3);
        std::vector<uint8_t> shifted(bytes.size() + 1);
        std::ranges::copy(bytes, shifted.begin() + 1);
        std::vector<float> result(n);
        dequantize_row(info.type, std::as_bytes(std::span(shifted)).data() + 1, result.data(), n);
        EXPECT_EQ(fnv1a(result), fnv1a(dequantized(info.type, bytes))) << info.name;
    }
}

// --- tables

template <typename Entry>
void expect_grid(TensorType type, std::span<const Entry> grid, size_t size, const std::set<int>& numbers) {
    EXPECT_EQ(grid.size(), size);
    EXPECT_EQ(codebook(type).data(), std::as_bytes(grid).data());
    EXPECT_EQ(codebook(type).size(), size * sizeof(Entry));
    EXPECT_EQ(std::set(grid.begin(), grid.end()).size(), size) << "an entry comes twice";
    std::set<int> seen;
    for (const std::byte byte : codebook(type)) seen.insert(std::bit_cast<int8_t>(byte));
    EXPECT_EQ(seen, numbers);
}

TEST(Codebooks, HoldDistinctEntriesOfTheirNumbers) {
    expect_grid(TensorType::kIQ1_S, iq1_grid(), 2048, {-1, 0, 1});
    expect_grid(TensorType::kIQ1_M, iq1_grid(), 2048, {-1, 0, 1});
    expect_grid(TensorType::kIQ2_XXS, iq2_xxs_grid(), 256, {8, 25, 43});
    expect_grid(TensorType::kIQ2_XS, iq2_xs_grid(), 512, {8, 25, 43});
    expect_grid(TensorType::kIQ2_S, iq2_s_grid(), 1024, {8, 25, 43});
    expect_grid(TensorType::kIQ3_XXS, iq3_xxs_grid(), 256, {4, 12, 20, 28, 36, 44, 52, 62});
    expect_grid(TensorType::kIQ3_S, iq3_s_grid(), 512, {1, 3, 5, 7, 9, 11, 13, 15});
    size_t n_with_grid = 0;
    for (const TensorTypeInfo& info : tensor_types()) n_with_grid += codebook(info.type).empty() ? 0 : 1;
    EXPECT_EQ(n_with_grid, 7);
}

TEST(Codebooks, EightSignsAreEven) {
    for (uint32_t seven = 0; seven < 128; ++seven) {
        const uint32_t signs = even_signs(seven);
        EXPECT_EQ(signs & 127, seven);
        EXPECT_EQ(std::popcount(signs) % 2, 0);
    }
}

TEST(Half, SmallScalesAreHalved) {
    for (uint32_t code = 0; code < 256; ++code) {
        EXPECT_EQ(e8m0_halved(static_cast<uint8_t>(code)), std::ldexp(1.0, static_cast<int>(code) - 128))
            << code;
        const int exponent = (code >> 3) & 15;
        const int fraction = code & 7;
        const double scale =
            exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
        EXPECT_EQ(ue4m3_halved(static_cast<uint8_t>(code)), code == 0x7F ? 0 : scale / 2) << code;
    }
}

}  // namespace
}  // namespace vkmoe
