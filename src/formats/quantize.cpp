#include "formats/quantize.h"

#include <cassert>
#include <cstring>

#include "base/error.h"
#include "formats/blocks_visit.h"
#include "formats/half.h"
#include "formats/quantize_block.h"

namespace vkmoe {
namespace {

template <typename Block>
void quantize_blocks(const float* src, std::byte* dst, uint64_t n) {
    for (uint64_t i = 0; i < n; i += Block::kElements) {
        Block block{};
        quantize_block(src + i, block);
        std::memcpy(dst, &block, sizeof block);
        dst += sizeof block;
    }
}

template <typename Convert>
void convert_16_bit(const float* src, std::byte* dst, uint64_t n, Convert convert) {
    for (uint64_t i = 0; i < n; ++i) {
        const uint16_t value = convert(src[i]);
        std::memcpy(dst + 2 * i, &value, sizeof value);
    }
}

}  // namespace

bool can_quantize(TensorType type) {
    return visit_block(type, true, []<typename Block>() { return kMakesBlock<Block>; });
}

void quantize_row(TensorType type, const float* src, std::byte* dst, uint64_t n) {
    assert(n % tensor_type_info(type).block_elements == 0);
    if (!can_quantize(type)) {
        fail(ErrorCode::kUnsupported, "quantization to {} is not supported; use another type, such as Q4_K",
             tensor_type_info(type).name);
    }
    if (n == 0) return;
    const bool in_blocks = visit_block(type, false, [&]<typename Block>() {
        if constexpr (kMakesBlock<Block>) quantize_blocks<Block>(src, dst, n);
        return true;
    });
    if (in_blocks) return;
    if (type == TensorType::kF32) std::memcpy(dst, src, n * sizeof(float));
    if (type == TensorType::kF16) convert_16_bit(src, dst, n, float_to_half);
    if (type == TensorType::kBF16) convert_16_bit(src, dst, n, float_to_bf16);
}

}  // namespace vkmoe
