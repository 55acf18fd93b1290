#pragma once

#include <string_view>

#include "base/faults.h"

namespace vkmoe {

/// Faults by a plan until the end of its scope.
class ScopedFaults {
  public:
    explicit ScopedFaults(std::string_view plan) { set_faults(plan); }
    ~ScopedFaults() { set_faults(""); }
    ScopedFaults(const ScopedFaults&) = delete;
    ScopedFaults& operator=(const ScopedFaults&) = delete;
};

}  // namespace vkmoe
