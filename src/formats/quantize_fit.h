#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>

#include "formats/half.h"

// How a group of numbers finds its scale: what the quantize_block functions share. All in double.

namespace vkmoe {

inline constexpr double kLargestHalf = 65504;

/// To nearest, ties to even, for |value| < 2^51: adding 1.5 * 2^52 leaves no bits below 1. Unlike
/// std::nearbyint it needs no call, so loops over it become vector code.
inline double round_small(double value) {
    constexpr double kShift = 6755399441055744.0;
    return (value + kShift) - kShift;
}

/// The integer nearest to value in low ... high.
inline int quantize_to(double value, double low, double high) {
    return static_cast<int>(round_small(std::clamp(value, low, high)));
}

inline uint16_t half_scale(double scale) {
    return float_to_half(static_cast<float>(std::clamp(scale, -kLargestHalf, kLargestHalf)));
}

/// 1 / scale, and 0 for 0, so that a group without scale quantizes to zeros.
inline double inverse_of(double scale) {
    return scale == 0 ? 0 : 1 / scale;
}

inline double largest_magnitude(const float* x, uint32_t n) {
    double largest = 0;
    for (uint32_t i = 0; i < n; ++i) {
        if (std::abs(static_cast<double>(x[i])) > std::abs(largest)) largest = x[i];
    }
    return largest;
}

struct Affine {
    double scale;  // >= 0
    double min;
};

/// x ~ scale * q - min with q in 0 ... q_max and, unless min may have any sign, min >= 0: starting scales
/// around the range of x, each followed by the least-squares scale and min for the q it gives; the best by
/// squared error.
Affine fit_affine(const float* x, uint32_t n, double q_max, bool any_min = false);

/// The scale (of either sign) for x ~ scale * q with q in -q_end ... q_end - 1: the best of a few starting
/// scales by squared error after the least-squares scale for the q each gives.
double fit_symmetric(const float* x, uint32_t n, double q_end);

/// Index of the number that is nearest to x, in ascending values.
template <size_t N>
uint32_t nearest(const std::array<int8_t, N>& values, double x) {
    uint32_t index = 0;
    for (size_t i = 0; i + 1 < N; ++i) index += 2 * x > values[i] + values[i + 1] ? 1 : 0;
    return index;
}

/// The scale (of either sign) for x ~ scale * v with v of values: each of `reaches` is tried as what the
/// number of largest magnitude stands for, then the least-squares scale for the v it gives; the best by
/// squared error.
template <size_t N>
double fit_values(const float* x, uint32_t n, const std::array<int8_t, N>& values,
                  std::span<const double> reaches) {
    const double largest = largest_magnitude(x, n);
    if (largest == 0) return 0;
    double best = largest / reaches[0];
    double best_gain = -1;
    for (const double reach : reaches) {
        const double inverse = reach / largest;
        double sum_vv = 0;
        double sum_vx = 0;
        for (uint32_t i = 0; i < n; ++i) {
            const double value = values[nearest(values, x[i] * inverse)];
            sum_vv += value * value;
            sum_vx += value * x[i];
        }
        // The error is sum(x^2) - gain.
        const double gain = sum_vv > 0 ? sum_vx * sum_vx / sum_vv : 0;
        if (gain > best_gain && sum_vv > 0) {
            best_gain = gain;
            best = sum_vx / sum_vv;
        }
    }
    return best;
}

/// The scale >= 0 for x ~ scale * t with t of -1, 0 and 1, exactly the best by squared error; n at most 256.
double fit_ternary(const float* x, uint32_t n);

}  // namespace vkmoe
