#include "formats/quantize_block.h"
#include "formats/quantize_fit.h"

// Types with one scale for a block and at most a minimum.

namespace vkmoe {
namespace {

/// Puts q of number i (0 ... 31), of 4 bits, where nibbles are: byte j holds q[j] and q[j + 16].
void put_nibble(uint8_t* qs, uint32_t i, int q) {
    qs[i % 16] = static_cast<uint8_t>(qs[i % 16] | (q << (4 * (i / 16))));
}

/// Likewise q of 5 bits: bit i of qh is the highest.
template <typename Block>
void put_five_bits(Block& block, uint32_t i, int q) {
    put_nibble(block.qs, i, q & 15);
    block.qh[i / 8] = static_cast<uint8_t>(block.qh[i / 8] | ((q >> 4) << (i % 8)));
}

/// d and m of a Q4_1 or Q5_1 block; calls put(i, q) for its 32 numbers.
template <typename Block, typename Put>
void quantize_with_min(const float* x, Block& block, double q_max, Put put) {
    const Affine fit = fit_affine(x, 32, q_max, true);
    block.d = half_scale(fit.scale);
    block.m = half_scale(-fit.min);
    const double inverse = inverse_of(half_to_float(block.d));
    const double m = half_to_float(block.m);
    for (uint32_t i = 0; i < 32; ++i) put(i, quantize_to((x[i] - m) * inverse, 0, q_max));
}

/// d of a block of -1, 0 and 1; calls put(i, t + 1) for its 256 numbers.
template <typename Block, typename Put>
void quantize_ternary(const float* x, Block& block, Put put) {
    block.d = half_scale(fit_ternary(x, 256));
    const double inverse = inverse_of(half_to_float(block.d));
    for (uint32_t i = 0; i < 256; ++i) put(i, quantize_to(x[i] * inverse, -1, 1) + 1);
}

}  // namespace

void quantize_block(const float* x, BlockQ8_0& block) {
    block.d = half_scale(std::abs(largest_magnitude(x, 32)) / 127);
    const double inverse = inverse_of(half_to_float(block.d));
    for (uint32_t i = 0; i < 32; ++i) {
        block.qs[i] = static_cast<int8_t>(quantize_to(x[i] * inverse, -127, 127));
    }
}

void quantize_block(const float* x, BlockQ4_0& block) {
    // The number of largest magnitude becomes -8, the one end of -8 ... 7 that has no counterpart.
    block.d = half_scale(largest_magnitude(x, 32) / -8);
    const double inverse = inverse_of(half_to_float(block.d));
    for (uint32_t j = 0; j < 16; ++j) {
        const int low = quantize_to(x[j] * inverse, -8, 7) + 8;
        const int high = quantize_to(x[j + 16] * inverse, -8, 7) + 8;
        block.qs[j] = static_cast<uint8_t>(low | (high << 4));
    }
}

void quantize_block(const float* x, BlockQ5_0& block) {
    block.d = half_scale(largest_magnitude(x, 32) / -16);
    const double inverse = inverse_of(half_to_float(block.d));
    for (uint32_t i = 0; i < 32; ++i) put_five_bits(block, i, quantize_to(x[i] * inverse, -16, 15) + 16);
}

void quantize_block(const float* x, BlockQ4_1& block) {
    quantize_with_min(x, block, 15, [&block](uint32_t i, int q) { put_nibble(block.qs, i, q); });
}

void quantize_block(const float* x, BlockQ5_1& block) {
    quantize_with_min(x, block, 31, [&block](uint32_t i, int q) { put_five_bits(block, i, q); });
}

void quantize_block(const float* x, BlockQ1_0& block) {
    double sum = 0;
    for (uint32_t i = 0; i < 128; ++i) sum += std::abs(static_cast<double>(x[i]));
    block.d = half_scale(sum / 128);
    for (uint32_t i = 0; i < 128; ++i) {
        if (x[i] >= 0) block.qs[i / 8] = static_cast<uint8_t>(block.qs[i / 8] | (1 << (i % 8)));
    }
}

void quantize_block(const float* x, BlockQ2_0& block) {
    constexpr std::array<int8_t, 4> kValues = {-1, 0, 1, 2};
    constexpr double kReaches[] = {2, 2.5, 3, 3.5, -2, -2.5, -3, -3.5, 1, -1};
    block.d = half_scale(fit_values(x, 64, kValues, kReaches));
    const double inverse = inverse_of(half_to_float(block.d));
    for (uint32_t i = 0; i < 64; ++i) {
        const int q = quantize_to(x[i] * inverse, -1, 2) + 1;
        block.qs[i / 4] = static_cast<uint8_t>(block.qs[i / 4] | (q << (2 * (i % 4))));
    }
}

void quantize_block(const float* x, BlockTQ1_0& block) {
    // The digits as whole numbers below 3^5, the first number's highest.
    uint8_t digits[52] = {};
    quantize_ternary(x, block, [&digits](uint32_t i, int t) {
        constexpr int kPowers[] = {81, 27, 9, 3, 1};
        if (i < 160) {
            digits[i % 32] = static_cast<uint8_t>(digits[i % 32] + t * kPowers[i / 32]);
        } else if (i < 240) {
            uint8_t& number = digits[32 + i % 16];
            number = static_cast<uint8_t>(number + t * kPowers[(i - 160) / 16]);
        } else {
            uint8_t& number = digits[48 + i % 4];
            number = static_cast<uint8_t>(number + t * kPowers[(i - 240) / 4]);
        }
    });
    // As fractions of 256, rounded up, so that rounding down gives every digit again.
    for (uint32_t j = 0; j < 52; ++j) {
        uint8_t& byte = j < 48 ? block.qs[j] : block.qh[j - 48];
        byte = static_cast<uint8_t>((digits[j] * 256 + 242) / 243);
    }
}

void quantize_block(const float* x, BlockTQ2_0& block) {
    quantize_ternary(x, block, [&block](uint32_t i, int q) {
        uint8_t& byte = block.qs[i / 128 * 32 + i % 32];
        byte = static_cast<uint8_t>(byte | (q << (2 * (i / 32 % 4))));
    });
}

}  // namespace vkmoe
