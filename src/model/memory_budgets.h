#pragma once

#include <cstdint>

namespace vkmoe {

/// What there is of memory, what was asked for, and what a model needs. Bytes.
struct MemoryQuestion {
    bool unified = false;      ///< device memory is the host's RAM: what one has the other has not
    uint64_t vram_budget = 0;  ///< asked for; 0: what is free, less headroom
    uint64_t ram_budget = 0;   ///< likewise
    uint64_t free_vram = 0;    ///< now
    uint64_t free_ram = 0;     ///< likewise
    uint64_t whole_vram = 0;   ///< with all experts in device memory, a session included
    uint64_t least_vram = 0;   ///< with those that a token uses of a layer
    uint64_t full_tier = 0;    ///< host memory that holds all experts
    uint64_t least_tier = 0;   ///< the least that will do
    uint64_t session_ram = 0;  ///< of a session, in host memory
    bool has_experts = false;
    bool must_page = false;
};

struct MemoryBudgets {
    bool is_paged = false;
    uint64_t vram = 0;  ///< of device memory; 0: none is set
    uint64_t tier = 0;  ///< of experts in host memory
};

/// A model is paged when it must be, or has experts and does not fit. A RAM budget bounds all of the model
/// that lies in RAM; with unified memory that is all of it, so that host memory has what the device's leaves.
/// Where nobody says how much that is, the device gets three quarters for a model that does not fit, but
/// neither side less than its least (the host tier first) nor, the host tier, more than it can fill.
MemoryBudgets split_memory(const MemoryQuestion& question);

/// What the RAM budget comes to, but for a session's part of host memory.
uint64_t ram_for_weights(const MemoryQuestion& question);

}  // namespace vkmoe
