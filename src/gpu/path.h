#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace vkmoe {

/// How a kernel computes. Scalar exists for every op and type and needs nothing of the device: it is the
/// floor and the second opinion. VKMOE_PATH=scalar (or another name) holds every kernel to one path where
/// that path exists.
enum class Path : uint8_t {
    kScalar,       ///< plain float32, no subgroup operations
    kSubgroup,     ///< float32 with subgroup reductions
    kDot4,         ///< weights and activations as packed int8, four products an instruction
    kCoopmat,      ///< VK_KHR_cooperative_matrix: float16 operands, float32 sums
    kCoopmatInt8,  ///< VK_KHR_cooperative_matrix: int8 operands, int32 sums of each run
    kCoopmat2,     ///< VK_NV_cooperative_matrix2: float16 operands, float32 sums, sizes of our choice
};
inline constexpr uint32_t kPathCount = 6;

/// Cooperative matrices: only kernels for many tokens have these paths.
constexpr bool uses_matrices(Path path) {
    return path == Path::kCoopmat || path == Path::kCoopmatInt8 || path == Path::kCoopmat2;
}

std::string_view path_name(Path path);
std::optional<Path> path_from_name(std::string_view name);

}  // namespace vkmoe
