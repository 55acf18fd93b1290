#include "base/units.h"

#include <fmt/format.h>

#include <array>

namespace vkmoe {

std::string human_bytes(uint64_t bytes) {
    constexpr std::array kUnits = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    // From here on two decimals would round up to 1024.00 of a unit.
    constexpr double kNextUnit = 1023.995;
    auto value = static_cast<double>(bytes);
    size_t unit = 0;
    for (; value >= (unit == 0 ? 1024 : kNextUnit) && unit + 1 < kUnits.size(); ++unit) value /= 1024;
    return unit == 0 ? fmt::format("{} {}", bytes, bytes == 1 ? "byte" : "bytes")
                     : fmt::format("{:.2f} {}", value, kUnits[unit]);
}

uint64_t mib_rounded_up(uint64_t bytes) {
    constexpr uint64_t kMiB = 1 << 20;
    return bytes / kMiB + (bytes % kMiB != 0 ? 1 : 0);
}

}  // namespace vkmoe
