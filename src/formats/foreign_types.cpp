#include "formats/foreign_types.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace vkmoe {
namespace {

struct ForeignType {
    uint32_t id;
    std::string_view description;
};

// From ggml.h of ggml and of ik_llama.cpp, and gguf-py's constants.
constexpr std::array kForeignTypes = {
    ForeignType{4, "Q4_2, which ggml dropped in 2023"},
    ForeignType{5, "Q4_3, which ggml dropped in 2023"},
    ForeignType{9, "Q8_1, which ggml keeps for activations"},
    ForeignType{15, "Q8_K, which ggml keeps for activations"},
    ForeignType{24, "I8"},
    ForeignType{25, "I16"},
    ForeignType{26, "I32"},
    ForeignType{27, "I64"},
    ForeignType{28, "F64"},
    ForeignType{31, "Q4_0_4_4, which llama.cpp dropped in 2024"},
    ForeignType{32, "Q4_0_4_8, which llama.cpp dropped in 2024"},
    ForeignType{33, "Q4_0_8_8, which llama.cpp dropped in 2024"},
    ForeignType{36, "I2_S of BitNet and ik_llama.cpp, or IQ4_NL_4_4, which llama.cpp dropped in 2024"},
    ForeignType{37, "IQ4_NL_4_8, which llama.cpp dropped in 2024"},
    ForeignType{38, "IQ4_NL_8_8, which llama.cpp dropped in 2024"},
    ForeignType{133, "Q6_0 of ik_llama.cpp"},
    ForeignType{134, "IQ1_BN of ik_llama.cpp"},
    ForeignType{135, "IQ2_BN of ik_llama.cpp"},
    ForeignType{137, "IQ2_K of ik_llama.cpp"},
    ForeignType{138, "IQ3_K of ik_llama.cpp"},
    ForeignType{139, "IQ4_K of ik_llama.cpp"},
    ForeignType{140, "IQ5_K of ik_llama.cpp"},
    ForeignType{141, "IQ6_K of ik_llama.cpp"},
    ForeignType{144, "IQ4_KS of ik_llama.cpp"},
    ForeignType{145, "IQ2_KS of ik_llama.cpp"},
    ForeignType{146, "IQ4_KSS of ik_llama.cpp"},
    ForeignType{152, "IQ5_KS of ik_llama.cpp"},
    ForeignType{153, "IQ2_KT of ik_llama.cpp"},
    ForeignType{154, "IQ3_KT of ik_llama.cpp"},
    ForeignType{155, "IQ4_KT of ik_llama.cpp"},
    ForeignType{156, "IQ3_KS of ik_llama.cpp"},
    ForeignType{157, "IQ2_KL of ik_llama.cpp"},
    ForeignType{158, "IQ1_KT of ik_llama.cpp"},
};

// ik_llama.cpp numbers its own types, repacked ones included, within this range.
constexpr uint32_t kFirstOfIkLlama = 97;
constexpr uint32_t kLastOfIkLlama = 399;

}  // namespace

std::string describe_foreign_type(uint32_t id) {
    const auto* known = std::ranges::find(kForeignTypes, id, &ForeignType::id);
    if (known != kForeignTypes.end()) return fmt::format("{} ({})", id, known->description);
    if (id >= kFirstOfIkLlama && id <= kLastOfIkLlama)
        return fmt::format("{} (within the range of ik_llama.cpp's types)", id);
    return {};
}

}  // namespace vkmoe
