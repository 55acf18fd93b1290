#include "gpu/path.h"

#include <array>

namespace vkmoe {
namespace {

constexpr std::array<std::string_view, kPathCount> kNames = {"scalar",  "subgroup",     "dot4",
                                                             "coopmat", "coopmat_int8", "coopmat2"};

}  // namespace

std::string_view path_name(Path path) {
    return kNames[static_cast<size_t>(path)];
}

std::optional<Path> path_from_name(std::string_view name) {
    for (uint32_t i = 0; i < kPathCount; ++i)
        if (kNames[i] == name) return static_cast<Path>(i);
    return std::nullopt;
}

}  // namespace vkmoe
