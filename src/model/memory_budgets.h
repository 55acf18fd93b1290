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
    bool must_pin = false;        ///< all experts of the host tier, for the device to read them
    bool pins_take_vram = false;  ///< pinned memory comes from the heaps of device memory
};

struct MemoryBudgets {
    bool is_paged = false;
    uint64_t vram = 0;  ///< of device memory; 0: none is set
    uint64_t tier = 0;  ///< of experts in host memory
    bool pins = true;   ///< the tier is pinned memory
};

/// A model is paged when it must be, or has experts and does not fit. A RAM budget bounds all of the model
/// that lies in RAM; with unified memory that is all of it, so that host memory has what the device's leaves.
/// Where nobody says how much that is, the device gets three quarters for a model that does not fit, but
/// neither side less than its least (the host tier first) nor, the host tier, more than it can fill, nor the
/// device more than its heaps have. Where pinned memory would come from these heaps too, the tier is pinned
/// if it fits beside the device's part, else pageable.
MemoryBudgets split_memory(const MemoryQuestion& question);

/// Device memory that weights and a session's part of it may take: of what is free less what a session pins
/// of it.
uint64_t vram_for_weights(const MemoryQuestion& question);

/// What the RAM budget comes to, but for a session's part of host memory.
uint64_t ram_for_weights(const MemoryQuestion& question);

}  // namespace vkmoe
