#include "model/kv_cache.h"

namespace vkmoe {

uint64_t kv_cache_bytes(const HyperParameters& hyper, TensorType type, uint64_t n_context) {
    return 2 * hyper.n_layers *
           kv_layer_bytes(type, hyper.n_kv_heads, static_cast<uint32_t>(n_context), hyper.head_dim);
}

KvCache::KvCache(const std::shared_ptr<Device>& device, const HyperParameters& hyper, TensorType type,
                 uint32_t n_context, ArenaMode mode)
    : arena_(device, MemoryKind::kDevice, "KV cache", mode),
      type_(type),
      n_context_(n_context),
      bytes_(kv_cache_bytes(hyper, type, n_context)) {
    if (mode == ArenaMode::kTake) {
        const KvCache measured(device, hyper, type, n_context, ArenaMode::kMeasure);
        arena_.expect(measured.arena_.layout());
    }
    const uint64_t layer_bytes = kv_layer_bytes(type, hyper.n_kv_heads, n_context, hyper.head_dim);
    for (uint32_t layer = 0; layer < hyper.n_layers; ++layer) {
        const Allocation keys = arena_.allocate(layer_bytes);
        layers_.push_back({keys, arena_.allocate(layer_bytes)});
    }
}

}  // namespace vkmoe
