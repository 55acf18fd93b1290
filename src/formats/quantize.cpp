#include "formats/quantize.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "formats/blocks_visit.h"
#include "formats/half.h"

namespace vkmoe {
namespace {

constexpr double kLargestHalf = 65504;

/// To nearest, ties to even, for |value| < 2^51: adding 1.5 * 2^52 leaves no bits below 1. Unlike
/// std::nearbyint it needs no call, so loops over it become vector code.
double round_small(double value) {
    constexpr double kShift = 6755399441055744.0;
    return (value + kShift) - kShift;
}

/// The integer nearest to value in low ... high.
int quantize_to(double value, double low, double high) {
    return static_cast<int>(round_small(std::clamp(value, low, high)));
}

uint16_t half_scale(double scale) {
    return float_to_half(static_cast<float>(std::clamp(scale, -kLargestHalf, kLargestHalf)));
}

/// 1 / scale, and 0 for 0, so that a group without scale quantizes to zeros.
double inverse_of(double scale) {
    return scale == 0 ? 0 : 1 / scale;
}

double largest_magnitude(const float* x, uint32_t n) {
    double largest = 0;
    for (uint32_t i = 0; i < n; ++i) {
        if (std::abs(static_cast<double>(x[i])) > std::abs(largest)) largest = x[i];
    }
    return largest;
}

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

struct Affine {
    double scale;  // >= 0
    double min;    // >= 0
};

/// x ~ scale * q - min with q in 0 ... q_max: starting scales around the range of x, each followed by the
/// least-squares scale and min for the q it gives; the best by squared error.
Affine fit_affine(const float* x, uint32_t n, double q_max) {
    double low = 0;
    double high = x[0];
    double sum_x = 0;
    double sum_xx = 0;
    for (uint32_t i = 0; i < n; ++i) {
        const double value = x[i];
        low = std::min(low, value);
        high = std::max(high, value);
        sum_x += value;
        sum_xx += value * value;
    }
    if (high <= low) return {0, -low};  // nothing above 0 and all equal: min alone says it
    Affine best = {(high - low) / q_max, -low};
    double best_error = HUGE_VAL;
    for (const double widen : {0.0, -0.6, 0.6, -1.2}) {
        const double inverse = (q_max + widen) / (high - low);
        double sum_q = 0;
        double sum_qq = 0;
        double sum_qx = 0;
        for (uint32_t i = 0; i < n; ++i) {
            const double q = round_small(std::clamp((x[i] - low) * inverse, 0.0, q_max));
            sum_q += q;
            sum_qq += q * q;
            sum_qx += q * x[i];
        }
        const double determinant = n * sum_qq - sum_q * sum_q;
        if (determinant <= 0) continue;
        double scale = (n * sum_qx - sum_q * sum_x) / determinant;
        double min = (scale * sum_q - sum_x) / n;
        if (min < 0) {  // the format has no negative min
            min = 0;
            scale = sum_qx / sum_qq;
        }
        if (scale <= 0) continue;
        const double error = sum_xx + scale * scale * sum_qq + n * min * min -
                             2 * (scale * sum_qx - min * sum_x + scale * min * sum_q);
        if (error < best_error) {
            best_error = error;
            best = {scale, min};
        }
    }
    return best;
}

/// d, dmin and scales of a Q4_K or Q5_K block; calls put(i, q) for its 256 numbers.
template <typename Block, typename Put>
void quantize_affine(const float* x, Block& block, double q_max, Put put) {
    std::array<Affine, 8> fits{};
    double largest_scale = 0;
    double largest_min = 0;
    for (uint32_t g = 0; g < 8; ++g) {
        fits[g] = fit_affine(x + 32 * g, 32, q_max);
        largest_scale = std::max(largest_scale, fits[g].scale);
        largest_min = std::max(largest_min, fits[g].min);
    }
    block.d = half_scale(largest_scale / 63);
    block.dmin = half_scale(largest_min / 63);
    const double d = half_to_float(block.d);
    const double dmin = half_to_float(block.dmin);
    std::array<ScaleMin, 8> groups{};
    for (uint32_t g = 0; g < 8; ++g) {
        groups[g] = {static_cast<uint8_t>(quantize_to(fits[g].scale * inverse_of(d), 0, 63)),
                     static_cast<uint8_t>(quantize_to(fits[g].min * inverse_of(dmin), 0, 63))};
        const double inverse = inverse_of(d * groups[g].scale);
        const double min = dmin * groups[g].min;
        for (uint32_t l = 0; l < 32; ++l) {
            put(32 * g + l, quantize_to((x[32 * g + l] + min) * inverse, 0, q_max));
        }
    }
    pack_scale_mins(groups.data(), block.scales);
}

void quantize_block(const float* x, BlockQ4_K& block) {
    quantize_affine(x, block, 15, [&block](uint32_t i, int q) {
        uint8_t& byte = block.qs[32 * (i / 64) + i % 32];
        byte = static_cast<uint8_t>(byte | (q << (4 * (i / 32 % 2))));
    });
}

void quantize_block(const float* x, BlockQ5_K& block) {
    quantize_affine(x, block, 31, [&block](uint32_t i, int q) {
        uint8_t& low = block.qs[32 * (i / 64) + i % 32];
        low = static_cast<uint8_t>(low | ((q & 15) << (4 * (i / 32 % 2))));
        uint8_t& high = block.qh[i % 32];
        high = static_cast<uint8_t>(high | ((q >> 4) << (i / 32)));
    });
}

/// The scale (of either sign) for x ~ scale * q with q in -32 ... 31: the best of a few starting scales by
/// squared error after the least-squares scale for the q each gives.
double fit_symmetric(const float* x, uint32_t n) {
    const double largest = largest_magnitude(x, n);
    if (largest == 0) return 0;
    double best = largest / -32;
    double best_gain = -1;
    for (const double reach : {32.0, 31.0, 33.0, 30.0, 34.0}) {
        const double inverse = -reach / largest;
        double sum_qq = 0;
        double sum_qx = 0;
        for (uint32_t i = 0; i < n; ++i) {
            const double q = round_small(std::clamp(x[i] * inverse, -32.0, 31.0));
            sum_qq += q * q;
            sum_qx += q * x[i];
        }
        // The error is sum(x^2) - gain.
        const double gain = sum_qq > 0 ? sum_qx * sum_qx / sum_qq : 0;
        if (gain > best_gain) {
            best_gain = gain;
            best = sum_qq > 0 ? sum_qx / sum_qq : best;
        }
    }
    return best;
}

void quantize_block(const float* x, BlockQ6_K& block) {
    std::array<double, 16> fits{};
    double largest_scale = 0;
    for (uint32_t g = 0; g < 16; ++g) {
        fits[g] = fit_symmetric(x + 16 * g, 16);
        if (std::abs(fits[g]) > std::abs(largest_scale)) largest_scale = fits[g];
    }
    block.d = half_scale(largest_scale / -128);
    const double d = half_to_float(block.d);
    for (uint32_t g = 0; g < 16; ++g) {
        const int scale = quantize_to(fits[g] * inverse_of(d), -128, 127);
        block.scales[g] = static_cast<int8_t>(scale);
        const double inverse = inverse_of(d * scale);
        for (uint32_t l = 0; l < 16; ++l) {
            const uint32_t i = 16 * g + l;
            const int q = quantize_to(x[i] * inverse, -32, 31) + 32;
            const uint32_t half = i / 128;
            const uint32_t k = i / 32 % 4;
            uint8_t& low = block.ql[64 * half + 32 * (k % 2) + i % 32];
            low = static_cast<uint8_t>(low | ((q & 15) << (4 * (k / 2))));
            uint8_t& high = block.qh[32 * half + i % 32];
            high = static_cast<uint8_t>(high | ((q >> 4) << (2 * k)));
        }
    }
}

template <typename Block>
void quantize_blocks(const float* src, std::byte* dst, uint64_t n) {
    for (uint64_t i = 0; i < n; i += Block::kElements) {
        Block block{};
        quantize_block(src + i, block);
        std::memcpy(dst, &block, sizeof block);
        dst += sizeof block;
    }
}

template <typename Convert>
void convert_16_bit(const float* src, std::byte* dst, uint64_t n, Convert convert) {
    for (uint64_t i = 0; i < n; ++i) {
        const uint16_t value = convert(src[i]);
        std::memcpy(dst + 2 * i, &value, sizeof value);
    }
}

template <typename Block>
constexpr bool kMakesBlock = requires(const float* x, Block& block) {
    quantize_block(x, block);
};

}  // namespace

bool can_quantize(TensorType type) {
    return visit_block(type, true, []<typename Block>() { return kMakesBlock<Block>; });
}

void quantize_row(TensorType type, const float* src, std::byte* dst, uint64_t n) {
    assert(n % tensor_type_info(type).block_elements == 0);
    if (!can_quantize(type)) {
        fail(ErrorCode::kUnsupported, "numbers cannot be quantized to {}: use another type, Q4_K for one",
             tensor_type_info(type).name);
    }
    if (n == 0) return;
    const bool in_blocks = visit_block(type, false, [&]<typename Block>() {
        if constexpr (kMakesBlock<Block>) quantize_blocks<Block>(src, dst, n);
        return true;
    });
    if (in_blocks) return;
    if (type == TensorType::kF32) std::memcpy(dst, src, n * sizeof(float));
    if (type == TensorType::kF16) convert_16_bit(src, dst, n, float_to_half);
    if (type == TensorType::kBF16) convert_16_bit(src, dst, n, float_to_bf16);
}

}  // namespace vkmoe
