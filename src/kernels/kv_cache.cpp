#include "kernels/kv_cache.h"

#include "base/error.h"

namespace vkmoe {

uint64_t kv_row_bytes(TensorType type, uint32_t head_dim) {
    switch (type) {
        case TensorType::kF32:
            return uint64_t{head_dim} * 4;
        case TensorType::kF16:
            return uint64_t{head_dim} * 2;
        case TensorType::kQ8_0:
            return (uint64_t{head_dim} + head_dim / 32 * 4 + 15) / 16 * 16;
        default:
            fail(ErrorCode::kUnsupported, "a KV cache of type {} is not supported: use F32, F16 or Q8_0",
                 tensor_type_info(type).name);
    }
}

uint64_t kv_layer_bytes(TensorType type, uint32_t n_kv_heads, uint32_t n_context, uint32_t head_dim) {
    return uint64_t{n_kv_heads} * n_context * kv_row_bytes(type, head_dim);
}

}  // namespace vkmoe
