#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "formats/blocks_visit.h"
#include "formats/dequantize.h"
#include "formats/half.h"
#include "formats/quantize.h"

namespace vkmoe {
namespace {

constexpr std::array kAllTypes = {TensorType::kF32,  TensorType::kF16,  TensorType::kBF16, TensorType::kQ4_0,
                                  TensorType::kQ8_0, TensorType::kQ4_K, TensorType::kQ5_K, TensorType::kQ6_K};

std::vector<float> dequantized(TensorType type, std::span<const uint8_t> bytes) {
    const TensorTypeInfo& info = tensor_type_info(type);
    std::vector<float> result(bytes.size() / info.block_bytes * info.block_elements);
    dequantize_row(type, std::as_bytes(bytes).data(), result.data(), result.size());
    return result;
}

std::vector<uint8_t> quantized(TensorType type, const std::vector<float>& numbers) {
    std::vector<uint8_t> bytes(row_bytes(type, numbers.size()));
    quantize_row(type, numbers.data(), std::as_writable_bytes(std::span(bytes)).data(), numbers.size());
    return bytes;
}

std::vector<float> round_trip(TensorType type, const std::vector<float>& numbers) {
    return dequantized(type, quantized(type, numbers));
}

/// Numbers with a bell-shaped distribution, the same on every machine.
std::vector<float> weights(size_t n, double deviation) {
    std::mt19937_64 random(7);
    std::vector<float> result(n);
    for (float& number : result) {
        double sum = 0;
        for (int i = 0; i < 12; ++i) sum += static_cast<double>(random() >> 11) * 0x1p-53;
        number = static_cast<float>((sum - 6) * deviation);
    }
    return result;
}

double nmse(const std::vector<float>& value, const std::vector<float>& reference) {
    double error = 0;
    double power = 0;
    for (size_t i = 0; i < reference.size(); ++i) {
        error += std::pow(double{value[i]} - reference[i], 2);
        power += std::pow(double{reference[i]}, 2);
    }
    return error / power;
}

// --- half and bfloat16

TEST(Half, EveryHalfSurvivesTheWayThroughFloat) {
    for (uint32_t i = 0; i < 0x10000; ++i) {
        const uint16_t half = static_cast<uint16_t>(i);
        const float value = half_to_float(half);
        if (std::isnan(value)) {
            EXPECT_EQ((half & 0x7C00) == 0x7C00 && (half & 0x3FF) != 0, true) << half;
            EXPECT_TRUE(std::isnan(half_to_float(float_to_half(value)))) << half;
            continue;
        }
        EXPECT_EQ(float_to_half(value), half);
        const double fraction = half & 0x3FF;
        const int exponent = (half >> 10) & 31;
        if (exponent == 31) continue;
        const double magnitude =
            exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
        EXPECT_EQ(value, (half & 0x8000) != 0 ? -magnitude : magnitude) << half;
    }
}

TEST(Half, RoundsToNearestTiesToEven) {
    const float infinity = std::numeric_limits<float>::infinity();
    for (uint16_t low = 0; low < 0x7BFF; ++low) {
        const uint16_t high = static_cast<uint16_t>(low + 1);
        const float middle = (half_to_float(low) + half_to_float(high)) / 2;  // exact in float
        EXPECT_EQ(float_to_half(std::nextafter(middle, 0.0f)), low);
        EXPECT_EQ(float_to_half(middle), low % 2 == 0 ? low : high);
        EXPECT_EQ(float_to_half(std::nextafter(middle, infinity)), high);
        EXPECT_EQ(float_to_half(-middle), 0x8000 | (low % 2 == 0 ? low : high));
    }
    EXPECT_EQ(float_to_half(std::nextafter(65520.0f, 0.0f)), 0x7BFF);
    EXPECT_EQ(float_to_half(65520.0f), 0x7C00);
    EXPECT_EQ(float_to_half(-1e38f), 0xFC00);
    EXPECT_EQ(float_to_half(std::numeric_limits<float>::denorm_min()), 0);
    EXPECT_EQ(half_to_float(0x7C00), infinity);
    EXPECT_EQ(half_to_float(0xFC00), -infinity);
    EXPECT_TRUE(std::signbit(half_to_float(0x8000)));
}

TEST(Bf16, RoundsToNearestTiesToEven) {
    const auto from_bits = [](uint32_t bits) { return std::bit_cast<float>(bits); };
    EXPECT_EQ(bf16_to_float(0x3F80), 1.0f);
    EXPECT_EQ(float_to_bf16(from_bits(0x3F808000)), 0x3F80);  // a tie, down to even
    EXPECT_EQ(float_to_bf16(from_bits(0x3F818000)), 0x3F82);  // a tie, up to even
    EXPECT_EQ(float_to_bf16(from_bits(0x3F808001)), 0x3F81);
    EXPECT_EQ(float_to_bf16(from_bits(0x3F807FFF)), 0x3F80);
    EXPECT_EQ(float_to_bf16(from_bits(0x80000001)), 0x8000);  // a denormal rounds to -0
    EXPECT_EQ(float_to_bf16(std::numeric_limits<float>::max()), 0x7F80);
    EXPECT_EQ(float_to_bf16(-std::numeric_limits<float>::infinity()), 0xFF80);
    // A NaN whose payload is all in the bits that are cut off.
    EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(from_bits(0x7F800001)))));
}

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

struct Golden {
    TensorType type;
    std::vector<std::pair<size_t, uint16_t>> scales;  // offset in the block, value
    std::vector<std::pair<size_t, float>> numbers;    // index, value
};

// Byte i of each block is (37 i + 11) mod 256, then the scales are put in. The numbers are what the `gguf`
// Python package (gguf.quants.dequantize) gives.
TEST(Dequantize, AgreesWithTheGgufPackage) {
    const std::vector<Golden> all = {
        {TensorType::kQ4_0,
         {{0, 0xB123}},
         {{0, 0x1.ed2p-2f}, {5, -0x1.ed2p-1f}, {15, 0x1.48cp+0f}, {16, 0x1.ed2p-2f}, {31, -0.0f}}},
        {TensorType::kQ8_0,
         {{0, 0x2E66}},
         {{0, 0x1.0fefp+3f}, {5, 0x1.665p+0f}, {15, -0x1.998p+3f}, {16, -0x1.2321p+3f}, {31, -0x1.332p+2f}}},
        {TensorType::kQ4_K,
         {{0, 0x2E66}, {2, 0x31C7}},
         {{0, 0x1.8e25p+4f},
          {31, 0x1.2c69p+3f},
          {37, -0x1.f77p+1f},
          {70, 0x1.9e0cp+4f},
          {100, 0x1.43c4p+2f},
          {133, 0x1.adcp+3f},
          {165, 0x1.8939p+4f},
          {200, 0x1.7412p+3f},
          {230, -0x1.6e06p+2f},
          {255, 0x1.1e2p-2f}}},
        {TensorType::kQ5_K,
         {{0, 0x0007}, {2, 0xB00F}},
         {{0, 0x1.9dffb8p+2f},
          {31, 0x1.9dfb46p+2f},
          {37, 0x1.85a09ap+1f},
          {70, 0x1.ef2886p+2f},
          {100, 0x1.13fdb8p+2f},
          {133, 0x1.85b554p+0f},
          {165, 0x1.e7144ep+1f},
          {200, 0x1.13fe02p+1f},
          {230, 0x1.1c1a74p+2f},
          {255, 0x1.1c1adcp+2f}}},
        {TensorType::kQ6_K,
         {{208, 0x2E66}},
         {{0, -0x1.1e215p+7f},
          {31, -0x1.332p+3f},
          {37, -0x1.931ap+4f},
          {70, 0x1.09ef6p+7f},
          {100, 0x1.f87a1p+7f},
          {133, 0x1.2321p+5f},
          {165, -0x1.24ba8p+6f},
          {200, 0x1.b37e6p+6f},
          {230, 0x1.77e88p+6f},
          {255, -0x1.7fe8p+2f}}},
    };
    for (const Golden& golden : all) {
        std::vector<uint8_t> block(tensor_type_info(golden.type).block_bytes);
        for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<uint8_t>(37 * i + 11);
        for (const auto& [offset, scale] : golden.scales) std::memcpy(&block[offset], &scale, sizeof scale);
        const std::vector<float> numbers = dequantized(golden.type, block);
        for (const auto& [i, value] : golden.numbers) {
            EXPECT_EQ(std::bit_cast<uint32_t>(numbers[i]), std::bit_cast<uint32_t>(value))
                << tensor_type_info(golden.type).name << ", number " << i;
        }
    }
}

TEST(Dequantize, ReadsFromAnyAddress) {
    const std::vector<float> numbers = weights(512, 0.1);
    for (const TensorType type : kAllTypes) {
        const std::vector<uint8_t> bytes = quantized(type, numbers);
        std::vector<uint8_t> shifted(bytes.size() + 1);
        std::ranges::copy(bytes, shifted.begin() + 1);
        std::vector<float> result(numbers.size());
        dequantize_row(type, std::as_bytes(std::span(shifted)).data() + 1, result.data(), result.size());
        EXPECT_EQ(result, dequantized(type, bytes)) << tensor_type_info(type).name;
    }
}

// --- quantize

TEST(Quantize, ErrorIsAsSmallAsTheTypeAllows) {
    const std::vector<float> numbers = weights(1 << 16, 0.02);
    const auto error = [&numbers](TensorType type) { return nmse(round_trip(type, numbers), numbers); };
    EXPECT_EQ(error(TensorType::kF32), 0);
    EXPECT_LT(error(TensorType::kF16), 1e-7);
    EXPECT_LT(error(TensorType::kBF16), 4e-6);
    EXPECT_LT(error(TensorType::kQ8_0), 3.2e-5);
    EXPECT_LT(error(TensorType::kQ6_K), 3.5e-4);
    EXPECT_LT(error(TensorType::kQ5_K), 1.5e-3);
    EXPECT_LT(error(TensorType::kQ4_K), 6e-3);
    EXPECT_LT(error(TensorType::kQ4_0), 8e-3);
}

TEST(Quantize, FindsNumbersOnTheGridAgain) {
    for (const TensorType type : kAllTypes) {
        const std::vector<float> on_grid = round_trip(type, weights(1024, 1.0));
        EXPECT_LT(nmse(round_trip(type, on_grid), on_grid), 2e-6) << tensor_type_info(type).name;
    }
}

TEST(Quantize, ConstantAndOneSidedBlocks) {
    for (const TensorType type : kAllTypes) {
        for (const float value : {0.0f, 1.0f, -1.0f, 0.037f, -12.5f}) {
            const std::vector<float> numbers(256, value);
            for (const float result : round_trip(type, numbers)) {
                ASSERT_NEAR(result, value, std::abs(value) * 0.01) << tensor_type_info(type).name;
            }
        }
        std::vector<float> positive = weights(256, 1.0);
        for (float& number : positive) number = std::abs(number) + 3;
        EXPECT_LT(nmse(round_trip(type, positive), positive), 1.5e-2) << tensor_type_info(type).name;
    }
}

TEST(Quantize, ExtremesStayFinite) {
    const float largest = std::numeric_limits<float>::max();
    const float smallest = std::numeric_limits<float>::denorm_min();
    for (const TensorType type : kAllTypes) {
        if (type == TensorType::kF16 || type == TensorType::kBF16)
            continue;  // their largest are infinity by rounding
        for (const auto& [a, b] : {std::pair{largest, -largest},
                                   {smallest, -smallest},
                                   {largest, smallest},
                                   {-largest, -largest}}) {
            std::vector<float> numbers(256, a);
            for (size_t i = 0; i < numbers.size(); i += 3) numbers[i] = b;
            for (const float result : round_trip(type, numbers)) {
                ASSERT_TRUE(std::isfinite(result)) << tensor_type_info(type).name;
            }
        }
    }
}

TEST(Blocks, ScalesAndMinsUnpackAsPacked) {
    for (uint32_t start = 0; start < 64; ++start) {
        std::array<ScaleMin, 8> groups{};
        for (uint32_t g = 0; g < 8; ++g) {
            groups[g] = {static_cast<uint8_t>((start + 9 * g) % 64),
                         static_cast<uint8_t>((start + 23 * g + 5) % 64)};
        }
        std::array<uint8_t, 12> packed{};
        pack_scale_mins(groups.data(), packed.data());
        for (uint32_t g = 0; g < 8; ++g) {
            const ScaleMin group = unpack_scale_min(packed.data(), g);
            EXPECT_EQ(group.scale, groups[g].scale);
            EXPECT_EQ(group.min, groups[g].min);
        }
    }
}

TEST(TensorType, NamesIdsAndSizes) {
    for (const TensorType type : kAllTypes) {
        const TensorTypeInfo& info = tensor_type_info(type);
        EXPECT_EQ(tensor_type_from_id(static_cast<uint32_t>(type)), type);
        EXPECT_EQ(tensor_type_from_name(info.name), type);
        EXPECT_EQ(row_bytes(type, 512), 512 / info.block_elements * info.block_bytes);
    }
    EXPECT_EQ(tensor_type_from_name("q4_k"), TensorType::kQ4_K);
    EXPECT_EQ(tensor_type_from_name("q4"), std::nullopt);
    EXPECT_EQ(tensor_type_from_id(4), std::nullopt);
}

}  // namespace
}  // namespace vkmoe
