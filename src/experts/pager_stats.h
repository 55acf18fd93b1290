#pragma once

#include "experts/pager_mode.h"

#include <cstdint>

namespace vkmoe {

/// What a model's pager has and did since the model was loaded, for all of its sessions together.
struct PagerStats {
    PagerMode mode = PagerMode::kAuto;  ///< kDevice or kHost; kAuto: nothing is paged, all but memory is 0

    uint64_t n_slots = 0;
    uint64_t slot_bytes = 0;  ///< of all slots together
    uint64_t n_records = 0;   ///< experts of all layers
    uint64_t record_bytes = 0;

    uint64_t hits = 0;  ///< experts that a step of few tokens wanted and that were in slots
    uint64_t misses = 0;
    uint64_t evictions = 0;
    uint64_t prefetched = 0;
    uint64_t prefetched_used = 0;
    uint64_t streamed = 0;     ///< records that batches of many tokens fetched past the slots
    uint64_t bytes_moved = 0;  ///< over the link, for whatever reason
    double seconds = 0;        ///< in which sessions computed
    /// Part of them in which computing could not go on for want of records: what those that were missed or
    /// streamed take at the link's measured speed, and the waits for reads from disk as the host measured
    /// them.
    double seconds_stalled = 0;
    double link_bytes_per_second = 0;  ///< measured when the model was loaded, in the way of this mode

    uint64_t vram_budget = 0;  ///< bytes; 0: what the driver gives
    uint64_t host_bytes = 0;   ///< host memory that holds experts, with what reads of them pass through
    uint64_t peak_device_bytes = 0;
};

}  // namespace vkmoe
