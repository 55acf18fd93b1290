#include "formats/tensor_type.h"

#include <algorithm>
#include <array>
#include <cassert>

namespace vkmoe {
namespace {

constexpr std::array<TensorTypeInfo, 8> kTypes = {{
    {TensorType::kF32, "F32", 1, 4},
    {TensorType::kF16, "F16", 1, 2},
    {TensorType::kQ4_0, "Q4_0", 32, 18},
    {TensorType::kQ8_0, "Q8_0", 32, 34},
    {TensorType::kQ4_K, "Q4_K", 256, 144},
    {TensorType::kQ5_K, "Q5_K", 256, 176},
    {TensorType::kQ6_K, "Q6_K", 256, 210},
    {TensorType::kBF16, "BF16", 1, 2},
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

}  // namespace vkmoe
