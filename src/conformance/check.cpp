#include "conformance/check.h"

#include <bit>
#include <cassert>
#include <cmath>
#include <limits>

namespace vkmoe::conformance {
namespace {

constexpr uint32_t kUntouched = 0xFFFFFFFF;
/// Sums of float32 terms below this cannot have overflowed on the way, in whatever order.
constexpr double kOverflow = 1e38;
/// Fewer numbers may well all be small differences of large terms.
constexpr size_t kFewNumbers = 32;
/// So may a few numbers that make up nearly all of the sum of squares, as products of gate and up do now and
/// then.
constexpr double kFewLargeNumbers = 8;

bool untouched(float value) {
    return std::bit_cast<uint32_t>(value) == kUntouched;
}

std::string show(float value) {
    return untouched(value) ? "untouched memory" : fmt::format("{}", value);
}

bool right(const Expected& expected, float actual, const Tolerance& tolerance) {
    if (untouched(actual) || !expected.written) return untouched(actual) != expected.written;
    if (!std::isfinite(expected.value)) return !std::isfinite(actual);
    if (!std::isfinite(actual)) return !(expected.magnitude < kOverflow);
    return std::abs(actual - expected.value) <= tolerance.relative * expected.magnitude + expected.floor;
}

/// NMSE of the numbers that are finite on both sides; nothing where too few are or count, or where flushing
/// alone may make more error than the limit lets pass: then each number is judged by itself only.
std::optional<double> finite_nmse(std::span<const Expected> expected, std::span<const float> actual,
                                  double limit) {
    double error = 0;
    double size = 0;
    double fourth_powers = 0;
    double floor = 0;
    size_t n = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        if (!expected[i].written || !std::isfinite(expected[i].value) || !std::isfinite(actual[i])) continue;
        const double difference = actual[i] - expected[i].value;
        const double square = expected[i].value * expected[i].value;
        error += difference * difference;
        size += square;
        fourth_powers += square * square;
        floor += expected[i].floor * expected[i].floor;
        ++n;
    }
    // Of n equal numbers the first is n times the second.
    if (size * size < kFewLargeNumbers * fourth_powers) return std::nullopt;
    if (n < kFewNumbers || !(limit * size > floor)) return std::nullopt;
    return error / size;
}

[[noreturn]] void fail_nmse(std::string_view what, size_t count, double error, double limit) {
    CheckFailure failure(fmt::format("{}: NMSE {:.3g} over {} numbers, but at most {:.3g} is allowed", what,
                                     error, count, limit));
    failure.nmse = error;
    throw failure;
}

}  // namespace

double nmse(std::span<const double> expected, std::span<const float> actual) {
    assert(expected.size() == actual.size());
    double error = 0;
    double magnitude = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        if (std::isfinite(actual[i]) != std::isfinite(expected[i]))
            return std::numeric_limits<double>::infinity();
        if (!std::isfinite(expected[i])) continue;
        const double difference = actual[i] - expected[i];
        error += difference * difference;
        magnitude += expected[i] * expected[i];
    }
    if (magnitude > 0) return error / magnitude;
    return error == 0 ? 0 : std::numeric_limits<double>::infinity();
}

void fail_element(std::string_view what, uint64_t index, uint64_t count, std::string expected,
                  std::string got, std::optional<double> nmse) {
    CheckFailure failure(
        fmt::format("{}: element {} of {} is {}, not {}", what, index, count, got, expected));
    failure.nmse = nmse;
    failure.first_wrong = index;
    failure.expected = std::move(expected);
    failure.got = std::move(got);
    throw failure;
}

void check_numbers(std::string_view what, std::span<const Expected> expected, std::span<const float> actual,
                   const Tolerance& tolerance) {
    require(expected.size() == actual.size(), "{}: {} numbers, not {}", what, actual.size(), expected.size());
    const std::optional<double> error = finite_nmse(expected, actual, tolerance.nmse);
    for (size_t i = 0; i < expected.size(); ++i) {
        if (right(expected[i], actual[i], tolerance)) continue;
        fail_element(what, i, expected.size(),
                     expected[i].written ? fmt::format("{:.9g}", expected[i].value) : "untouched memory",
                     show(actual[i]), error);
    }
    if (error && *error > tolerance.nmse) fail_nmse(what, expected.size(), *error, tolerance.nmse);
}

void check_nmse(std::string_view what, std::span<const double> expected, std::span<const float> actual,
                double limit) {
    require(expected.size() == actual.size(), "{}: {} numbers, not {}", what, actual.size(), expected.size());
    const double error = nmse(expected, actual);
    if (error <= limit) return;
    double magnitude = 0;
    for (double value : expected)
        if (std::isfinite(value)) magnitude += value * value;
    const double allowed = std::sqrt(limit * magnitude);
    for (size_t i = 0; i < expected.size(); ++i) {
        const bool wrong = std::isfinite(expected[i]) != std::isfinite(actual[i]) ||
                           std::abs(actual[i] - expected[i]) > allowed;
        if (!wrong) continue;
        fail_element(what, i, expected.size(), fmt::format("{:.9g}", expected[i]), show(actual[i]), error);
    }
    fail_nmse(what, expected.size(), error, limit);
}

}  // namespace vkmoe::conformance
