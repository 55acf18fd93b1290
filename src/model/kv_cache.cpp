#include "model/kv_cache.h"

namespace vkmoe {

KvCache::KvCache(std::shared_ptr<Device> device, const HyperParameters& hyper, TensorType type,
                 uint32_t n_context)
    : arena_(std::move(device), MemoryKind::kDevice, "KV cache"), type_(type), n_context_(n_context) {
    const uint64_t layer_bytes = kv_layer_bytes(type, hyper.n_kv_heads, n_context, hyper.head_dim);
    for (uint32_t layer = 0; layer < hyper.n_layers; ++layer) {
        layers_.push_back({arena_.allocate(layer_bytes), arena_.allocate(layer_bytes)});
        bytes_ += 2 * layer_bytes;
    }
}

}  // namespace vkmoe
