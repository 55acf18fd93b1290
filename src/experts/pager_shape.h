#pragma once

#include <cstdint>
#include <vector>

namespace vkmoe {

/// The experts of a model as the pager sees them. Layers are those with experts.
struct PagerShape {
    uint32_t n_experts = 0;              ///< of a layer
    uint32_t n_used = 0;                 ///< by a token, of a layer
    std::vector<uint64_t> record_bytes;  ///< of an expert's record, by layer

    uint32_t n_layers() const { return static_cast<uint32_t>(record_bytes.size()); }
};

}  // namespace vkmoe
