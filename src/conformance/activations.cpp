#include "conformance/activations.h"

#include "formats/half.h"
#include "kernels/activation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

namespace vkmoe::conformance {
namespace {

/// Packs a block of 32 as quantize_q8 does (src/kernels/quantize_q8.h).
void pack_block(std::span<const float> x, std::byte* quants, std::byte* scale_sum, std::span<double> values) {
    float largest = 0;
    bool numbers = true;
    for (float value : x) {
        largest = std::max(largest, std::abs(value));
        numbers = numbers && std::isfinite(value);
    }
    const bool packed = numbers && largest >= 0x1p-118f;
    float d = packed ? largest / 127 : 0;
    if (!numbers) d = std::numeric_limits<float>::quiet_NaN();
    int sum = 0;
    for (size_t i = 0; i < x.size(); ++i) {
        const int q = packed ? static_cast<int>(std::nearbyint(x[i] * (127 / largest))) : 0;
        quants[i] = static_cast<std::byte>(q);
        values[i] = double{d} * q;
        sum += q;
    }
    const float pair[2] = {d, d * static_cast<float>(sum)};
    std::memcpy(scale_sum, pair, sizeof pair);
}

StoredActivations store_q8(const std::vector<float>& rows, uint32_t n_columns) {
    StoredActivations stored{n_columns, {}, std::vector<double>(rows.size())};
    stored.bytes.assign(rows.size() / n_columns * q8_row_bytes(n_columns), std::byte{0xFF});
    for (size_t block = 0; block < rows.size() / 32; ++block) {
        const size_t in_row = block % (n_columns / 32);
        std::byte* row = stored.bytes.data() + block / (n_columns / 32) * q8_row_bytes(n_columns);
        pack_block(std::span(rows).subspan(block * 32, 32), row + in_row * 32, row + n_columns + in_row * 8,
                   std::span(stored.values).subspan(block * 32, 32));
    }
    return stored;
}

/// Packs a row as pack_float16 does (src/kernels/pack_float16.h).
void pack_row(std::span<const float> x, std::byte* row, std::span<double> values) {
    const int32_t exponent = float16_row_exponent(x);
    for (size_t i = 0; i < x.size(); ++i) {
        const bool subnormal = std::abs(x[i]) < kLeastNormal;
        const uint16_t half = float_to_half(subnormal ? 0 : std::ldexp(x[i], -exponent));
        std::memcpy(row + i * sizeof half, &half, sizeof half);
        values[i] = std::ldexp(double{half_to_float(half)}, exponent);
    }
    std::memcpy(row + x.size() * sizeof(uint16_t), &exponent, sizeof exponent);
}

StoredActivations store_float16(const std::vector<float>& rows, uint32_t n_columns) {
    StoredActivations stored{n_columns, {}, std::vector<double>(rows.size())};
    // Weights are rounded by the largest of their row, which is known to within seven binades.
    stored.weight_grain = 0x1p-17;
    const uint64_t row_bytes = float16_row_bytes(n_columns);
    stored.bytes.assign(rows.size() / n_columns * row_bytes, std::byte{0xFF});
    for (size_t row = 0; row < rows.size() / n_columns; ++row)
        pack_row(std::span(rows).subspan(row * n_columns, n_columns), stored.bytes.data() + row * row_bytes,
                 std::span(stored.values).subspan(row * n_columns, n_columns));
    return stored;
}

StoredActivations store_float(const std::vector<float>& rows, uint32_t n_columns) {
    StoredActivations stored{n_columns, {}, {rows.begin(), rows.end()}};
    const auto bytes = std::as_bytes(std::span(rows));
    stored.bytes.assign(bytes.begin(), bytes.end());
    return stored;
}

}  // namespace

int32_t float16_row_exponent(std::span<const float> row) {
    float largest = 0;
    for (float value : row)
        if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
    if (largest < kLeastNormal) return -126;
    return std::clamp(std::ilogb(largest) - 14, -126, 112);
}

StoredActivations store_activations(Path path, const std::vector<float>& rows, uint32_t n_columns) {
    switch (activation_layout(path)) {
        case ActivationLayout::kFloat32:
            return store_float(rows, n_columns);
        case ActivationLayout::kQ8:
            return store_q8(rows, n_columns);
        case ActivationLayout::kFloat16:
            return store_float16(rows, n_columns);
    }
    return {};
}

Tolerance product_tolerance(Path path) {
    // float16 rounds each weight to 11 bits.
    if (activation_layout(path) == ActivationLayout::kFloat16) return {.relative = 0x1.1p-11, .nmse = 1e-6};
    return {};
}

std::vector<float> random_activations(std::mt19937& random, uint32_t n_rows, uint32_t n_columns,
                                      Numbers kind) {
    const float scale = 1 / std::sqrt(static_cast<float>(n_columns));
    std::vector<float> values = random_numbers(random, kind, n_rows, n_columns);
    for (float& value : values) value *= scale;
    return values;
}

StoredActivations random_stored_activations(std::mt19937& random, Path path, uint32_t n_rows,
                                            uint32_t n_columns, Numbers kind) {
    return store_activations(path, random_activations(random, n_rows, n_columns, kind), n_columns);
}

Expected dot(const StoredMatrix& matrix, uint32_t row, const StoredActivations& x, uint32_t x_row) {
    const float* w = matrix.values.data() + size_t{row} * matrix.n_columns;
    const double* v = x.values.data() + size_t{x_row} * x.n_columns;
    // In lanes of their own, so that compilers may use vectors.
    constexpr uint32_t kLanes = 8;
    std::array<double, kLanes> sums{};
    std::array<double, kLanes> magnitudes{};
    std::array<double, kLanes> sizes{};
    for (uint32_t i = 0; i < matrix.n_columns; i += kLanes) {
        for (uint32_t lane = 0; lane < kLanes; ++lane) {
            const double term = w[i + lane] * v[i + lane];
            sums[lane] += term;
            magnitudes[lane] += std::abs(term);
            sizes[lane] += std::abs(w[i + lane]) + std::abs(v[i + lane]);
        }
    }
    Expected product;
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
        product.value += sums[lane];
        product.magnitude += magnitudes[lane];
        product.floor += kLeastNormal * sizes[lane];
    }
    product.floor += kLeastNormal * matrix.n_columns;
    return product;
}

Expected gated(const Expected& gate, const Expected& up) {
    const double silu = gate.value / (1 + std::exp(-gate.value));
    const double magnitude = 2 * (gate.magnitude * std::abs(up.value) + std::abs(silu) * up.magnitude);
    const double floor = 2 * (gate.floor * (1 + std::abs(up.value)) + (1 + std::abs(silu)) * up.floor);
    return {silu * up.value, magnitude, floor, gate.written && up.written};
}

}  // namespace vkmoe::conformance
