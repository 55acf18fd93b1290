#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

namespace vkmoe::conformance {

/// A kernel did what it should not.
struct CheckFailure : std::runtime_error {
    explicit CheckFailure(const std::string& message) : std::runtime_error(message) {}

    std::optional<double> nmse;           ///< of all numbers of the output, where it has one
    std::optional<uint64_t> first_wrong;  ///< index of the first wrong element of the output
    std::string expected;                 ///< what that element should be
    std::string got;
};

/// A case asks for more than the device has (memory, say): not a failure; the report says so.
struct CaseSkipped : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Throws a CheckFailure with a formatted message.
template <typename... Args>
[[noreturn]] void fail_check(fmt::format_string<Args...> format, Args&&... args) {
    throw CheckFailure(fmt::format(format, std::forward<Args>(args)...));
}

/// fail_check unless the condition holds.
template <typename... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
    if (!condition) fail_check(format, std::forward<Args>(args)...);
}

/// Fails at element `index` of `what`.
[[noreturn]] void fail_element(std::string_view what, uint64_t index, uint64_t count, std::string expected,
                               std::string got, std::optional<double> nmse = std::nullopt);

/// Every element alike, whatever their type (anything that fmt prints).
template <typename T>
void require_equal(std::string_view what, std::span<const T> expected, std::span<const T> actual) {
    require(expected.size() == actual.size(), "{}: {} elements, not {}", what, actual.size(),
            expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
        if (!(expected[i] == actual[i])) {
            fail_element(what, i, expected.size(), fmt::format("{}", expected[i]),
                         fmt::format("{}", actual[i]));
        }
    }
}

/// Below it numbers are subnormal: a device may make zeros of them.
inline constexpr double kLeastNormal = std::numeric_limits<float>::min();

/// What a number of an output should be.
struct Expected {
    double value = 0;
    double magnitude = 0;  ///< of the terms that make it up, which rounding errors go with
    double floor = 0;      ///< error that flushing of subnormal numbers to zero may make
    bool written = true;   ///< false: its memory must keep the poison
};

/// How near a number must come.
struct Tolerance {
    double relative = 2e-6;  ///< of each number, to its magnitude; float32 rounding
    double nmse = 1e-9;      ///< of 32 finite numbers and more, unless a few dwarf the rest
};

/// Every number as near as the tolerance asks, not finite exactly where that is expected (an infinity may
/// have become NaN on its way), untouched where nothing is to be written. A number whose magnitude is beyond
/// float32 may overflow.
void check_numbers(std::string_view what, std::span<const Expected> expected, std::span<const float> actual,
                   const Tolerance& tolerance);

/// Squared error over squared magnitude; infinite when a value is not finite where one was expected, or where
/// all should be zero and are not.
double nmse(std::span<const double> expected, std::span<const float> actual);

/// nmse() within the limit; else the failure names the first element that is off by more than the limit lets
/// all be off together, or not finite where it should be.
void check_nmse(std::string_view what, std::span<const double> expected, std::span<const float> actual,
                double limit);

}  // namespace vkmoe::conformance
