#pragma once

#include <cstdint>
#include <string>

namespace vkmoe {

/// Describes a GGUF type id that TensorType lacks: "139 (IQ4_K of ik_llama.cpp)". Empty for an id that no
/// known program writes.
std::string describe_foreign_type(uint32_t id);

}  // namespace vkmoe
