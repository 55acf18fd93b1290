#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace vkmoe {

/// How the numbers of a tensor are stored. The values are the type ids of the GGUF format.
enum class TensorType : uint32_t {
    kF32 = 0,
    kF16 = 1,
    kQ4_0 = 2,
    kQ4_1 = 3,
    kQ5_0 = 6,
    kQ5_1 = 7,
    kQ8_0 = 8,
    kQ2_K = 10,
    kQ3_K = 11,
    kQ4_K = 12,
    kQ5_K = 13,
    kQ6_K = 14,
    kIQ2_XXS = 16,
    kIQ2_XS = 17,
    kIQ3_XXS = 18,
    kIQ1_S = 19,
    kIQ4_NL = 20,
    kIQ3_S = 21,
    kIQ2_S = 22,
    kIQ4_XS = 23,
    kIQ1_M = 29,
    kBF16 = 30,
    kTQ1_0 = 34,
    kTQ2_0 = 35,
    kMXFP4 = 39,
    kNVFP4 = 40,
    kQ1_0 = 41,
    kQ2_0 = 42,
};

/// Fixed facts of a type: a row is stored as n_elements / block_elements blocks of block_bytes each.
struct TensorTypeInfo {
    TensorType type;
    std::string_view name;  ///< as GGUF tools print it, "Q4_K"
    uint32_t block_elements;
    uint32_t block_bytes;
};

const TensorTypeInfo& tensor_type_info(TensorType type);

/// Every type, by GGUF id.
std::span<const TensorTypeInfo> tensor_types();

/// The type with this GGUF id, or nothing where vkmoe does not read it.
std::optional<TensorType> tensor_type_from_id(uint32_t id);

/// The type with this name, case ignored, or nothing.
std::optional<TensorType> tensor_type_from_name(std::string_view name);

/// Bytes of a row of n_elements, which must be a multiple of the type's block_elements.
uint64_t row_bytes(TensorType type, uint64_t n_elements);

/// Bytes that kernels may read at once from a matrix of this type, and so what its address must be a multiple
/// of: the largest power of two that divides rows of every length kernels take (multiples of 32), at most 16.
/// 1 for MXFP4.
uint64_t row_alignment(TensorType type);

}  // namespace vkmoe
