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
    bool conflicts(std::span<const Access> accesses) const;
    void add(std::span<const Access> accesses);
    void clear() { tracked_.clear(); }

  private:
    std::vector<Access> tracked_;
};

}  // namespace vkmoe
