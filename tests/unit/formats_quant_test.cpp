#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <span>
#include <vector>

#include "base/error.h"
#include "formats/blocks_visit.h"
#include "formats/half.h"
#include "formats/random_blocks.h"
#include "unit/error_matching.h"
#include "unit/quantized_rows.h"

namespace vkmoe {
namespace {

std::vector<TensorType> quantizable_types() {
    std::vector<TensorType> types;
    for (const TensorTypeInfo& info : tensor_types()) {
        if (can_quantize(info.type)) types.push_back(info.type);
    }
    return types;
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

// --- quantize

// For a bell curve, the best that 1 bit and 3 values can do are 0.36 and 0.19.
TEST(Quantize, ErrorIsAsSmallAsTheTypeAllows) {
    const std::map<TensorType, double> limits = {
        {TensorType::kF32, 0},       {TensorType::kF16, 1e-7},    {TensorType::kBF16, 4e-6},
        {TensorType::kQ8_0, 3.2e-5}, {TensorType::kQ6_K, 3.5e-4}, {TensorType::kQ5_1, 1.3e-3},
        {TensorType::kQ5_K, 1.5e-3}, {TensorType::kQ5_0, 2e-3},   {TensorType::kQ4_1, 5.5e-3},
        {TensorType::kIQ4_NL, 6e-3}, {TensorType::kIQ4_XS, 6e-3}, {TensorType::kQ4_K, 6e-3},
        {TensorType::kQ4_0, 8e-3},   {TensorType::kNVFP4, 9e-3},  {TensorType::kMXFP4, 1.4e-2},
        {TensorType::kQ3_K, 2.2e-2}, {TensorType::kQ2_K, 8e-2},   {TensorType::kQ2_0, 0.13},
        {TensorType::kTQ1_0, 0.2},   {TensorType::kTQ2_0, 0.2},   {TensorType::kQ1_0, 0.38}};
    const std::vector<float> numbers = weights(1 << 16, 0.02);
    for (const TensorType type : quantizable_types()) {
        EXPECT_LE(nmse(round_trip(type, numbers), numbers), limits.at(type)) << tensor_type_info(type).name;
    }
}

TEST(Quantize, FindsNumbersOnTheGridAgain) {
    for (const TensorType type : quantizable_types()) {
        const std::vector<float> on_grid = round_trip(type, weights(1024, 1.0));
        EXPECT_LT(nmse(round_trip(type, on_grid), on_grid), 2e-6) << tensor_type_info(type).name;
    }
}

TEST(Quantize, ConstantAndOneSidedBlocks) {
    for (const TensorType type : quantizable_types()) {
        // MXFP4 has only powers of two times 1 and 1.5; the scales of NVFP4 are coarse below 2^-7.
        const double tolerance = type == TensorType::kMXFP4 ? 0.2 : type == TensorType::kNVFP4 ? 0.06 : 0.01;
        for (const float value : {0.0f, 1.0f, -1.0f, 0.037f, -12.5f}) {
            const std::vector<float> numbers(256, value);
            for (const float result : round_trip(type, numbers)) {
                ASSERT_NEAR(result, value, std::abs(value) * tolerance) << tensor_type_info(type).name;
            }
        }
        std::vector<float> positive = weights(256, 1.0);
        for (float& number : positive) number = std::abs(number) + 3;
        const bool one_magnitude = type == TensorType::kTQ1_0 || type == TensorType::kTQ2_0 ||
                                   type == TensorType::kQ1_0 || type == TensorType::kQ2_0;
        EXPECT_LT(nmse(round_trip(type, positive), positive), one_magnitude ? 2.5e-2 : 1.5e-2)
            << tensor_type_info(type).name;
    }
}

TEST(Quantize, ExtremesStayFinite) {
    const float largest = std::numeric_limits<float>::max();
    const float smallest = std::numeric_limits<float>::denorm_min();
    for (const TensorType type : quantizable_types()) {
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

TEST(Quantize, RefusesTypesItDoesNotMake) {
    const std::vector<float> numbers(256);
    std::vector<std::byte> bytes(256);
    for (const TensorTypeInfo& info : tensor_types()) {
        const bool by_grid = info.name.starts_with("IQ") && !info.name.starts_with("IQ4");
        EXPECT_EQ(can_quantize(info.type), !by_grid) << info.name;
        if (!by_grid) continue;
        expect_error(ErrorCode::kUnsupported, {info.name},
                     [&] { quantize_row(info.type, numbers.data(), bytes.data(), numbers.size()); });
    }
}

TEST(RandomBlocks, HaveTheDeviationAskedFor) {
    for (const TensorTypeInfo& info : tensor_types()) {
        std::vector<std::byte> bytes(16 * info.block_bytes);
        const size_t n = 16 * info.block_elements;
        if (can_quantize(info.type)) {
            expect_error(ErrorCode::kUnsupported, {info.name},
                         [&] { random_row(info.type, 1, 0.02, bytes.data(), n); });
            continue;
        }
        for (const double deviation : {0.02, 3.0}) {
            random_row(info.type, 1, deviation, bytes.data(), n);
            std::vector<float> numbers(n);
            dequantize_row(info.type, bytes.data(), numbers.data(), n);
            double sum = 0;
            double squares = 0;
            for (const float number : numbers) {
                sum += number;
                squares += double{number} * number;
            }
            EXPECT_NEAR(std::sqrt(squares / static_cast<double>(n)), deviation, 0.002 * deviation)
                << info.name;
            EXPECT_LT(std::abs(sum / static_cast<double>(n)), 0.1 * deviation) << info.name;
        }
        std::vector<std::byte> again(bytes.size());
        random_row(info.type, 1, 3.0, again.data(), n);
        EXPECT_EQ(bytes, again);
        random_row(info.type, 2, 3.0, again.data(), n);
        EXPECT_NE(bytes, again);
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

TEST(Blocks, ThreeBitScalesUnpackAsPacked) {
    for (uint32_t start = 0; start < 64; ++start) {
        std::array<uint8_t, 16> groups{};
        for (uint32_t g = 0; g < 16; ++g) groups[g] = static_cast<uint8_t>((start + 11 * g) % 64);
        std::array<uint8_t, 12> packed{};
        pack_q3_scales(groups.data(), packed.data());
        for (uint32_t g = 0; g < 16; ++g) EXPECT_EQ(unpack_q3_scale(packed.data(), g), groups[g]);
    }
}

TEST(Blocks, SpreadScaleUnpacksAsPacked) {
    for (uint32_t d = 0; d < 0x10000; d += 77) {
        std::array<uint16_t, 4> words = {0xFABC, 0x0123, 0x5FFF, 0xA000};
        pack_iq1_m_d(static_cast<uint16_t>(d), words.data());
        EXPECT_EQ(unpack_iq1_m_d(words.data()), d);
        EXPECT_EQ(words[0] & 0xFFF, 0xABC);
        EXPECT_EQ(words[2] & 0xFFF, 0xFFF);
    }
}

TEST(Blocks, HaveTheSizesOfTheirTypes) {
    for (const TensorTypeInfo& info : tensor_types()) {
        const std::pair plain(1u, info.block_bytes);
        const auto size = visit_block(info.type, plain, []<typename Block>() {
            return std::pair(Block::kElements, static_cast<uint32_t>(sizeof(Block)));
        });
        EXPECT_EQ(size, std::pair(info.block_elements, info.block_bytes)) << info.name;
    }
}

TEST(TensorType, NamesIdsAndSizes) {
    EXPECT_EQ(tensor_types().size(), 28);
    for (const TensorTypeInfo& info : tensor_types()) {
        const TensorType type = info.type;
        EXPECT_EQ(tensor_type_info(type).name, info.name);
        EXPECT_EQ(tensor_type_from_id(static_cast<uint32_t>(type)), type);
        EXPECT_EQ(tensor_type_from_name(info.name), type);
        EXPECT_EQ(row_bytes(type, 512), 512 / info.block_elements * info.block_bytes);
    }
    EXPECT_EQ(row_alignment(TensorType::kF16), 16);
    EXPECT_EQ(row_alignment(TensorType::kQ4_K), 16);
    EXPECT_EQ(row_alignment(TensorType::kQ5_1), 8);
    EXPECT_EQ(row_alignment(TensorType::kNVFP4), 4);
    EXPECT_EQ(row_alignment(TensorType::kQ6_K), 2);
    EXPECT_EQ(row_alignment(TensorType::kMXFP4), 1);
    EXPECT_EQ(tensor_type_from_name("q4_k"), TensorType::kQ4_K);
    EXPECT_EQ(tensor_type_from_name("q4"), std::nullopt);
    EXPECT_EQ(tensor_type_from_id(4), std::nullopt);
}

}  // namespace
}  // namespace vkmoe
