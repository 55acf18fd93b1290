#include <array>

#include "formats/codebooks.h"
#include "formats/quantize_block.h"
#include "formats/quantize_fit.h"

// Types whose 4-bit codes stand for numbers of a table that are not evenly spaced.

namespace vkmoe {
namespace {

constexpr double kIq4Reaches[] = {-127, -104, -83, -65, 69, 89, 113, -140, 125};

/// The code of the 4-bit float nearest to x: sign and magnitude.
uint32_t nearest_fp4(double x) {
    constexpr std::array<int8_t, 8> kMagnitudes = {0, 1, 2, 3, 4, 6, 8, 12};
    return nearest(kMagnitudes, std::abs(x)) | (x < 0 ? 8 : 0);
}

uint32_t nearest_iq4(double x) {
    return nearest(kIq4Values, x);
}

/// 2 kBytes codes of x * inverse: byte j holds those of x[j] and x[j + kBytes].
template <uint32_t kBytes, typename Code>
void put_codes(const float* x, double inverse, Code code, uint8_t* qs) {
    for (uint32_t j = 0; j < kBytes; ++j) {
        qs[j] = static_cast<uint8_t>(code(x[j] * inverse) | (code(x[j + kBytes] * inverse) << 4));
    }
}

/// The squared error of 4-bit floats at this scale.
double fp4_error(const float* x, uint32_t n, double scale) {
    const double inverse = inverse_of(scale);
    double error = 0;
    for (uint32_t i = 0; i < n; ++i) {
        const double difference = scale * kFp4Values[nearest_fp4(x[i] * inverse)] - x[i];
        error += difference * difference;
    }
    return error;
}

/// Of the codes first ... last the one whose scale gives the least error.
template <typename ScaleOf>
uint8_t best_code(const float* x, uint32_t n, int first, int last, ScaleOf scale_of) {
    uint8_t best = static_cast<uint8_t>(first);
    double best_error = HUGE_VAL;
    for (int code = first; code <= last; ++code) {
        const double error = fp4_error(x, n, scale_of(static_cast<uint8_t>(code)));
        if (error < best_error) {
            best_error = error;
            best = static_cast<uint8_t>(code);
        }
    }
    return best;
}

/// The smallest code in 0 ... last at whose scale the largest of 4-bit floats, 12, is not below `largest`.
template <typename ScaleOf>
int covering_code(double largest, int last, ScaleOf scale_of) {
    int low = 0;
    int high = last;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (12.0 * scale_of(static_cast<uint8_t>(middle)) >= largest) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

}  // namespace

void quantize_block(const float* x, BlockIQ4_NL& block) {
    block.d = half_scale(fit_values(x, 32, kIq4Values, kIq4Reaches));
    put_codes<16>(x, inverse_of(half_to_float(block.d)), nearest_iq4, block.qs);
}

void quantize_block(const float* x, BlockIQ4_XS& block) {
    std::array<double, 8> fits{};
    double largest_scale = 0;
    for (uint32_t g = 0; g < 8; ++g) {
        fits[g] = fit_values(x + 32 * g, 32, kIq4Values, kIq4Reaches);
        if (std::abs(fits[g]) > std::abs(largest_scale)) largest_scale = fits[g];
    }
    block.d = half_scale(largest_scale / -32);
    const double d = half_to_float(block.d);
    for (uint32_t g = 0; g < 8; ++g) {
        const int scale = quantize_to(fits[g] * inverse_of(d), -32, 31);
        put_codes<16>(x + 32 * g, inverse_of(d * scale), nearest_iq4, block.qs + 16 * g);
        const int code = scale + 32;
        block.scales_l[g / 2] = static_cast<uint8_t>(block.scales_l[g / 2] | ((code & 15) << (4 * (g % 2))));
        block.scales_h = static_cast<uint16_t>(block.scales_h | ((code >> 4) << (2 * g)));
    }
}

void quantize_block(const float* x, BlockMXFP4& block) {
    constexpr int kLast = 252;  // above, 12 times the scale is no float any more
    const int code = covering_code(std::abs(largest_magnitude(x, 32)), kLast, e8m0_halved);
    block.e = best_code(x, 32, std::max(code - 1, 0), code, e8m0_halved);
    put_codes<16>(x, inverse_of(e8m0_halved(block.e)), nearest_fp4, block.qs);
}

void quantize_block(const float* x, BlockNVFP4& block) {
    constexpr int kLast = 0x7E;
    for (uint32_t g = 0; g < 4; ++g) {
        const float* numbers = x + 16 * g;
        const int code = covering_code(std::abs(largest_magnitude(numbers, 16)), kLast, ue4m3_halved);
        // Eight codes are a factor of two: from the largest number on 8 or so, to a little below 12.
        block.d[g] = best_code(numbers, 16, std::max(code - 3, 0), std::min(code + 5, kLast), ue4m3_halved);
        put_codes<8>(numbers, inverse_of(ue4m3_halved(block.d[g])), nearest_fp4, block.qs + 8 * g);
    }
}

}  // namespace vkmoe
