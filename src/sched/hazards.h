#pragma once

#include "kernels/dispatch.h"

#include <span>
#include <vector>

namespace vkmoe {

/// What has been read and written since the last barrier.
class HazardTracker {
  public:
    /// Whether work with these accesses must wait for what is tracked: it reads or writes what was written,
    /// or writes what was read.
    bool conflicts(std::span<const AddressRange> reads, std::span<const AddressRange> writes) const;
    void add(std::span<const AddressRange> reads, std::span<const AddressRange> writes);
    void clear();

  private:
    std::vector<AddressRange> reads_;
    std::vector<AddressRange> writes_;
};

}  // namespace vkmoe
