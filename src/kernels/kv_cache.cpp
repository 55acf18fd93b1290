#include "kernels/kv_cache.h"

#include "base/error.h"
#include "kernels/elementwise.h"

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

void require_head_dim(Op op, uint32_t head_dim) {
    require_multiple(op, "head_dim", head_dim, 32);
    if (head_dim > kMaxHeadDim)
        fail(ErrorCode::kUnsupported, "{}: head_dim is {}, but at most {} is supported", op_name(op),
             head_dim, kMaxHeadDim);
}

void require_kv_heads(Op op, uint32_t n_heads, uint32_t n_kv_heads, uint32_t n_context) {
    require_multiple(op, "n_kv_heads", n_kv_heads, 1);
    require_multiple(op, "n_heads", n_heads, n_kv_heads);
    require_multiple(op, "n_context", n_context, 1);
    if (uint64_t{n_kv_heads} * n_context > 0xFFFFFFFFull)
        fail(ErrorCode::kUnsupported, "{}: {} KV heads times a context of {} rows are more than 2^32 rows",
             op_name(op), n_kv_heads, n_context);
}

}  // namespace vkmoe
