#pragma once

#include "formats/gguf.h"

#include <cstdint>
#include <string>
#include <vector>

namespace vkmoe::cli {

/// Layers whose experts are of one size. In mixed files, such as those of Q4_K_M, there are several such
/// sizes.
struct ExpertClass {
    uint64_t expert_bytes = 0;  ///< gate, up and down of one expert
    uint32_t n_layers = 0;
};

/// What a file's tensors take, as far as it can be told without a device.
struct ExpertSizes {
    uint64_t dense_bytes = 0;          ///< all but experts
    uint64_t n_experts = 0;            ///< a layer; 0: there are none
    uint64_t n_used = 0;               ///< for each token
    std::vector<ExpertClass> classes;  ///< the smallest first

    uint64_t all_experts() const;  ///< bytes
    /// Device memory that the weights need at least: all but experts, and what a token uses in one layer.
    uint64_t least_bytes() const;
};
ExpertSizes expert_sizes(const GgufFile& file);

}  // namespace vkmoe::cli
