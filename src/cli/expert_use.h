#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace vkmoe::cli {

/// One line: "experts: 61 of 64 used; busiest layer 3 expert 12 with 18% of its layer's routes".
/// counts: [layers, n_experts], rows of dense layers zero. An expert is one of one layer.
std::string describe_expert_use(std::span<const uint64_t> counts, uint32_t n_experts);

}  // namespace vkmoe::cli
