#pragma once

#include "formats/tensor_type.h"
#include "gpu/arena.h"

#include <map>
#include <mutex>

namespace vkmoe {

/// The grids of types whose numbers are looked up (src/formats/codebooks.h), in device memory. Each is
/// uploaded when it is first asked for, so that a model pays for its own types only (at most 16 KiB a type).
/// With ArenaMode::kMeasure addresses are made up and nothing is uploaded. Thread-safe.
class Codebooks {
  public:
    explicit Codebooks(std::shared_ptr<Device> device, ArenaMode mode = ArenaMode::kTake);

    /// Empty for types without a grid.
    Allocation memory(TensorType type);

  private:
    std::mutex mutex_;  // of all below
    Arena arena_;
    std::map<TensorType, Allocation> memory_;
};

}  // namespace vkmoe
