#include <array>

#include "formats/quantize_block.h"
#include "formats/quantize_fit.h"

namespace vkmoe {
namespace {

/// d, dmin and, as group_max at most, scales and mins of a block of affine groups; calls put(i, q) for its
/// 256 numbers.
template <size_t kGroups, typename Block, typename Put>
std::array<ScaleMin, kGroups> quantize_affine(const float* x, Block& block, double group_max, double q_max,
                                              Put put) {
    constexpr uint32_t kNumbers = 256 / kGroups;
    std::array<Affine, kGroups> fits{};
    double largest_scale = 0;
    double largest_min = 0;
    for (uint32_t g = 0; g < kGroups; ++g) {
        fits[g] = fit_affine(x + kNumbers * g, kNumbers, q_max);
        largest_scale = std::max(largest_scale, fits[g].scale);
        largest_min = std::max(largest_min, fits[g].min);
    }
    block.d = half_scale(largest_scale / group_max);
    block.dmin = half_scale(largest_min / group_max);
    const double d = half_to_float(block.d);
    const double dmin = half_to_float(block.dmin);
    std::array<ScaleMin, kGroups> groups{};
    for (uint32_t g = 0; g < kGroups; ++g) {
        groups[g] = {static_cast<uint8_t>(quantize_to(fits[g].scale * inverse_of(d), 0, group_max)),
                     static_cast<uint8_t>(quantize_to(fits[g].min * inverse_of(dmin), 0, group_max))};
        const double inverse = inverse_of(d * groups[g].scale);
        const double min = dmin * groups[g].min;
        for (uint32_t l = 0; l < kNumbers; ++l) {
            put(kNumbers * g + l, quantize_to((x[kNumbers * g + l] + min) * inverse, 0, q_max));
        }
    }
    return groups;
}

/// d of a block of groups of 16 with signed scales in -scale_end ... scale_end - 1; scales go to put_scale(g,
/// s) and numbers, in -q_end ... q_end - 1, to put(i, q).
template <typename Block, typename PutScale, typename Put>
void quantize_symmetric(const float* x, Block& block, double scale_end, double q_end, PutScale put_scale,
                        Put put) {
    std::array<double, 16> fits{};
    double largest_scale = 0;
    for (uint32_t g = 0; g < 16; ++g) {
        fits[g] = fit_symmetric(x + 16 * g, 16, q_end);
        if (std::abs(fits[g]) > std::abs(largest_scale)) largest_scale = fits[g];
    }
    block.d = half_scale(largest_scale / -scale_end);
    const double d = half_to_float(block.d);
    for (uint32_t g = 0; g < 16; ++g) {
        const int scale = quantize_to(fits[g] * inverse_of(d), -scale_end, scale_end - 1);
        put_scale(g, scale);
        const double inverse = inverse_of(d * scale);
        for (uint32_t l = 0; l < 16; ++l) {
            put(16 * g + l, quantize_to(x[16 * g + l] * inverse, -q_end, q_end - 1));
        }
    }
}

/// Puts the low 2 bits of q where Q2_K and Q3_K have them.
void put_two_bits(uint8_t* qs, uint32_t i, int q) {
    uint8_t& byte = qs[i / 128 * 32 + i % 32];
    byte = static_cast<uint8_t>(byte | ((q & 3) << (2 * (i / 32 % 4))));
}

}  // namespace

void quantize_block(const float* x, BlockQ2_K& block) {
    const auto groups =
        quantize_affine<16>(x, block, 15, 3, [&block](uint32_t i, int q) { put_two_bits(block.qs, i, q); });
    for (uint32_t g = 0; g < 16; ++g) {
        block.scales[g] = static_cast<uint8_t>(groups[g].scale | (groups[g].min << 4));
    }
}

void quantize_block(const float* x, BlockQ3_K& block) {
    std::array<uint8_t, 16> scales{};
    quantize_symmetric(
        x, block, 32, 4, [&scales](uint32_t g, int scale) { scales[g] = static_cast<uint8_t>(scale + 32); },
        [&block](uint32_t i, int q) {
            put_two_bits(block.qs, i, q + 4);
            uint8_t& high = block.hmask[i % 32];
            high = static_cast<uint8_t>(high | (((q + 4) >> 2) << (i / 32)));
        });
    pack_q3_scales(scales.data(), block.scales);
}

void quantize_block(const float* x, BlockQ4_K& block) {
    const auto groups = quantize_affine<8>(x, block, 63, 15, [&block](uint32_t i, int q) {
        uint8_t& byte = block.qs[32 * (i / 64) + i % 32];
        byte = static_cast<uint8_t>(byte | (q << (4 * (i / 32 % 2))));
    });
    pack_scale_mins(groups.data(), block.scales);
}

void quantize_block(const float* x, BlockQ5_K& block) {
    const auto groups = quantize_affine<8>(x, block, 63, 31, [&block](uint32_t i, int q) {
        uint8_t& low = block.qs[32 * (i / 64) + i % 32];
        low = static_cast<uint8_t>(low | ((q & 15) << (4 * (i / 32 % 2))));
        uint8_t& high = block.qh[i % 32];
        high = static_cast<uint8_t>(high | ((q >> 4) << (i / 32)));
    });
    pack_scale_mins(groups.data(), block.scales);
}

void quantize_block(const float* x, BlockQ6_K& block) {
    quantize_symmetric(
        x, block, 128, 32, [&block](uint32_t g, int scale) { block.scales[g] = static_cast<int8_t>(scale); },
        [&block](uint32_t i, int number) {
            const int q = number + 32;
            const uint32_t half = i / 128;
            const uint32_t k = i / 32 % 4;
            uint8_t& low = block.ql[64 * half + 32 * (k % 2) + i % 32];
            low = static_cast<uint8_t>(low | ((q & 15) << (4 * (k / 2))));
            uint8_t& high = block.qh[32 * half + i % 32];
            high = static_cast<uint8_t>(high | ((q >> 4) << (2 * k)));
        });
}

}  // namespace vkmoe
