#include "formats/tensor_type.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>

namespace vkmoe {
namespace {

constexpr std::array<TensorTypeInfo, 28> kTypes = {{
    {TensorType::kF32, "F32", 1, 4},
    {TensorType::kF16, "F16", 1, 2},
    {TensorType::kQ4_0, "Q4_0", 32, 18},
    {TensorType::kQ4_1, "Q4_1", 32, 20},
    {TensorType::kQ5_0, "Q5_0", 32, 22},
    {TensorType::kQ5_1, "Q5_1", 32, 24},
    {TensorType::kQ8_0, "Q8_0", 32, 34},
    {TensorType::kQ2_K, "Q2_K", 256, 84},
    {TensorType::kQ3_K, "Q3_K", 256, 110},
    {TensorType::kQ4_K, "Q4_K", 256, 144},
    {TensorType::kQ5_K, "Q5_K", 256, 176},
    {TensorType::kQ6_K, "Q6_K", 256, 210},
    {TensorType::kIQ2_XXS, "IQ2_XXS", 256, 66},
    {TensorType::kIQ2_XS, "IQ2_XS", 256, 74},
    {TensorType::kIQ3_XXS, "IQ3_XXS", 256, 98},
    {TensorType::kIQ1_S, "IQ1_S", 256, 50},
    {TensorType::kIQ4_NL, "IQ4_NL", 32, 18},
    {TensorType::kIQ3_S, "IQ3_S", 256, 110},
    {TensorType::kIQ2_S, "IQ2_S", 256, 82},
    {TensorType::kIQ4_XS, "IQ4_XS", 256, 136},
    {TensorType::kIQ1_M, "IQ1_M", 256, 56},
    {TensorType::kBF16, "BF16", 1, 2},
    {TensorType::kTQ1_0, "TQ1_0", 256, 54},
    {TensorType::kTQ2_0, "TQ2_0", 256, 66},
    {TensorType::kMXFP4, "MXFP4", 32, 17},
    {TensorType::kNVFP4, "NVFP4", 64, 36},
    {TensorType::kQ1_0, "Q1_0", 128, 18},
    {TensorType::kQ2_0, "Q2_0", 64, 18},
}};

// Not std::toupper: names are ASCII whatever the locale.
char upper(char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

}  // namespace

const TensorTypeInfo& tensor_type_info(TensorType type) {
    const auto* info = std::ranges::find(kTypes, type, &TensorTypeInfo::type);
    assert(info != kTypes.end());
    return *info;
}

std::span<const TensorTypeInfo> tensor_types() {
    return kTypes;
}

std::optional<TensorType> tensor_type_from_id(uint32_t id) {
    for (const TensorTypeInfo& info : kTypes) {
        if (static_cast<uint32_t>(info.type) == id) return info.type;
    }
    return std::nullopt;
}

std::optional<TensorType> tensor_type_from_name(std::string_view name) {
    for (const TensorTypeInfo& info : kTypes) {
        if (std::ranges::equal(info.name, name, {}, {}, upper)) return info.type;
    }
    return std::nullopt;
}

uint64_t row_bytes(TensorType type, uint64_t n_elements) {
    const TensorTypeInfo& info = tensor_type_info(type);
    assert(n_elements % info.block_elements == 0);
    return n_elements / info.block_elements * info.block_bytes;
}

uint64_t row_alignment(TensorType type) {
    const uint64_t least_row = row_bytes(type, std::max(32u, tensor_type_info(type).block_elements));
    return std::min<uint64_t>(16, uint64_t{1} << std::countr_zero(least_row));
}

}  // namespace vkmoe
