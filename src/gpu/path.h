#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace vkmoe {

/// How a kernel computes. Scalar exists for every op and type and needs nothing of the device: it is the
/// floor and the second opinion. VKMOE_PATH=scalar (or another name) holds every kernel to one path where
/// that path exists.
enum class Path : uint8_t {
    kScalar,    ///< plain float32, no subgroup operations
    kSubgroup,  ///< float32 with subgroup reductions
    kDot4,      ///< weights and activations as packed int8, four products an instruction
};
inline constexpr uint32_t kPathCount = 3;

std::string_view path_name(Path path);
std::optional<Path> path_from_name(std::string_view name);

}  // namespace vkmoe
