#pragma once

#include "gpu/arena.h"
#include "kernels/kv_cache.h"
#include "model/hyper_parameters.h"

#include <memory>
#include <vector>

namespace vkmoe {

/// Bytes of the tensors of such a cache; its arena takes a little more.
uint64_t kv_cache_bytes(const HyperParameters& hyper, TensorType type, uint64_t n_context);

/// Keys and values of one sequence in device memory, a pair of tensors a layer (layout: kernels/kv_cache.h).
class KvCache {
  public:
    /// mode kMeasure: no memory is taken, and only committed_bytes() means anything.
    KvCache(const std::shared_ptr<Device>& device, const HyperParameters& hyper, TensorType type,
            uint32_t n_context, ArenaMode mode = ArenaMode::kTake);

    uint64_t keys(uint32_t layer) const { return layers_[layer].keys.address; }
    uint64_t values(uint32_t layer) const { return layers_[layer].values.address; }
    TensorType type() const { return type_; }
    uint32_t n_context() const { return n_context_; }
    uint64_t bytes() const { return bytes_; }
    uint64_t committed_bytes() const { return arena_.committed_bytes(); }  ///< of device memory, for them

  private:
    struct Layer {
        Allocation keys;
        Allocation values;
    };
    Arena arena_;
    std::vector<Layer> layers_;
    TensorType type_;
    uint32_t n_context_;
    uint64_t bytes_ = 0;
};

}  // namespace vkmoe
