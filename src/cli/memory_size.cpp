#include "cli/memory_size.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

namespace vkmoe::cli {
namespace {

constexpr double kMost = 9.2e18;  // fits 63 bits

/// What a unit stands for; 0 for what is none.
double factor_of(std::string_view unit) {
    std::string upper(unit);
    std::ranges::transform(upper, upper.begin(), [](unsigned char letter) { return std::toupper(letter); });
    if (upper.empty() || upper == "B") return 1;
    constexpr std::string_view kPrefixes = "KMGT";
    const size_t power = kPrefixes.find(upper.front());
    const std::string_view rest = std::string_view(upper).substr(1);
    if (power == std::string_view::npos || (!rest.empty() && rest != "B" && rest != "IB")) return 0;
    return std::pow(1024.0, static_cast<double>(power + 1));
}

}  // namespace

uint64_t MemorySize::of(uint64_t whole) const {
    return share > 0 ? std::max<uint64_t>(static_cast<uint64_t>(share * static_cast<double>(whole)), 1)
                     : bytes;
}

std::optional<MemorySize> parse_memory_size(std::string_view text) {
    double number = 0;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
    if (error != std::errc() || !(number > 0)) return std::nullopt;
    const std::string_view unit(rest, static_cast<size_t>(end - rest));
    if (unit == "%") return number <= 100 ? std::optional(MemorySize{.share = number / 100}) : std::nullopt;
    const double bytes = std::floor(number * factor_of(unit));
    if (bytes < 1 || bytes > kMost) return std::nullopt;
    return MemorySize{.bytes = static_cast<uint64_t>(bytes)};
}

}  // namespace vkmoe::cli
