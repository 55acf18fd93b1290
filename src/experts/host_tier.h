#pragma once

#include "experts/host_tier_options.h"
#include "gpu/arena.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vkmoe {

struct HostTierStatistics {
    uint64_t n_hits = 0;       ///< acquire() found the record
    uint64_t n_waits = 0;      ///< it was being read already
    uint64_t n_misses = 0;     ///< it had to be read from the start
    uint64_t n_requested = 0;  ///< reads that request() started
    uint64_t n_evictions = 0;
    uint64_t n_failed_reads = 0;
    uint64_t bytes_read = 0;    ///< from files
    double seconds_waited = 0;  ///< in acquire()
};

/// A record in host memory.
struct HostRecord {
    const std::byte* data = nullptr;
    Allocation memory;  ///< the same as the device sees it; empty where it is not pinned
};

/// The records of all experts as the host has them: all of them in its memory where the budget allows, else a
/// bounded cache over the files. Records may be read up to the next multiple of 16 bytes. Thread-safe.
class HostTier {
  public:
    /// Reads all records, or in the other shape none. Throws kOutOfMemory, with the least budget that works,
    /// where it does not hold least_records of each size; kIo where a record cannot be read.
    HostTier(std::shared_ptr<Device> device, std::vector<RecordLayer> layers, uint32_t n_experts,
             const HostTierOptions& options = {});
    ~HostTier();
    HostTier(const HostTier&) = delete;
    HostTier& operator=(const HostTier&) = delete;

    /// Everything is in memory: no acquire() waits for a disk.
    bool all_resident() const;
    /// ... and the device sees all of it: device_address() holds for every record for good.
    bool all_pinned() const;
    /// Where the device reads a record; 0 unless all_resident() and it lies in pinned memory.
    uint64_t device_address(uint32_t layer, uint32_t expert) const;

    /// Starts to read a record that will be wanted, where there is room that nobody holds. Returns whether it
    /// is there or on its way.
    bool request(uint32_t layer, uint32_t expert);
    /// The record, which stays until release(); may be acquired several times. Waits for its read. Throws kIo
    /// that names the expert where the read fails (a later acquire tries anew), kOutOfMemory where all memory
    /// for records of this size is held.
    HostRecord acquire(uint32_t layer, uint32_t expert);
    void release(uint32_t layer, uint32_t expert);

    /// Tells of the device's slots, which records are copied to: how many there are, and whether a record (by
    /// layer and expert) is in one, so that it is not asked for here. Called under the tier's lock: in_slot
    /// must not call back. An empty one ends it. Without slots what was longest unused leaves first.
    void set_slots(uint64_t n_slots, std::function<bool(uint32_t, uint32_t)> in_slot);

    /// Host memory taken, read buffers included; at no time was it more than the budget.
    uint64_t committed_bytes() const;
    uint64_t pinned_bytes() const;
    /// Part of committed_bytes that no record can use.
    uint64_t wasted_bytes() const;
    /// Records that have place at once.
    uint64_t n_places() const;
    /// ... of the size that has the fewest: acquire() finds place while fewer than that are held.
    uint64_t fewest_places() const;
    HostTierStatistics statistics() const;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace vkmoe
