#include "formats/quantize_fit.h"

#include <array>
#include <cassert>
#include <functional>

namespace vkmoe {

Affine fit_affine(const float* x, uint32_t n, double q_max, bool any_min) {
    double low = any_min ? x[0] : 0;
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
    if (high <= low) return {0, -low};  // all equal, and min alone says it
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
        if (min < 0 && !any_min) {
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

double fit_symmetric(const float* x, uint32_t n, double q_end) {
    const double largest = largest_magnitude(x, n);
    if (largest == 0) return 0;
    const double step = q_end < 8 ? 0.4 : 1;
    double best = largest / -q_end;
    double best_gain = -1;
    for (const double widen : {0.0, -1.0, 1.0, -2.0, 2.0}) {
        const double inverse = -(q_end + widen * step) / largest;
        double sum_qq = 0;
        double sum_qx = 0;
        for (uint32_t i = 0; i < n; ++i) {
            const double q = round_small(std::clamp(x[i] * inverse, -q_end, q_end - 1));
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

double fit_ternary(const float* x, uint32_t n) {
    std::array<double, 256> magnitudes{};
    assert(n <= magnitudes.size());
    for (uint32_t i = 0; i < n; ++i) magnitudes[i] = std::abs(static_cast<double>(x[i]));
    std::sort(magnitudes.begin(), magnitudes.begin() + n, std::greater<>());
    // With the k largest on +-scale, the best scale is their mean and the error sum(x^2) - sum^2 / k.
    double best = 0;
    double best_gain = 0;
    double sum = 0;
    for (uint32_t k = 1; k <= n; ++k) {
        sum += magnitudes[k - 1];
        if (sum * sum / k > best_gain) {
            best_gain = sum * sum / k;
            best = sum / k;
        }
    }
    return best;
}

}  // namespace vkmoe
