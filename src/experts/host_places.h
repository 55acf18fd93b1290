#pragma once

#include "base/page_buffer.h"
#include "gpu/arena.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace vkmoe {

/// Bytes from a record's place to the next one's.
uint64_t place_stride(uint64_t record_bytes);

/// At most this much host memory that n places so far apart take.
uint64_t places_cost(uint64_t n, uint64_t stride);

/// Host memory for records, in blocks: pinned while the driver gives such memory, pageable from then on.
class HostPlaces {
  public:
    HostPlaces(std::shared_ptr<Device> device, bool pin) : device_(std::move(device)), pin_(pin) {}

    struct Place {
        std::byte* data = nullptr;
        Allocation memory;  // empty in pageable memory
    };

    /// Takes memory for n places more, which hold zeros or garbage. Throws kOutOfMemory.
    std::vector<Place> take(uint64_t n, uint64_t stride);

    uint64_t committed_bytes() const { return committed_; }
    uint64_t pinned_bytes() const { return pinned_; }

  private:
    struct Block {
        std::unique_ptr<Arena> arena;
        Allocation pinned;
        PageBuffer pageable;
    };
    bool take_pinned(Block& block, uint64_t bytes);

    std::shared_ptr<Device> device_;
    bool pin_;
    bool refused_ = false;
    std::vector<Block> blocks_;
    uint64_t committed_ = 0;
    uint64_t pinned_ = 0;
};

}  // namespace vkmoe
