#include "formats/dequantize.h"

#include <cassert>
#include <cstring>

#include "formats/blocks_visit.h"
#include "formats/dequantize_block.h"
#include "formats/half.h"

namespace vkmoe {
namespace {

template <typename Block>
void dequantize_blocks(const std::byte* src, float* dst, uint64_t n) {
    for (uint64_t i = 0; i < n; i += Block::kElements) {
        Block block;
        std::memcpy(&block, src, sizeof block);
        dequantize_block(block, dst + i);
        src += sizeof block;
    }
}

template <typename Convert>
void convert_16_bit(const std::byte* src, float* dst, uint64_t n, Convert convert) {
    for (uint64_t i = 0; i < n; ++i) {
        uint16_t value = 0;
        std::memcpy(&value, src + 2 * i, sizeof value);
        dst[i] = convert(value);
    }
}

}  // namespace

void dequantize_row(TensorType type, const std::byte* src, float* dst, uint64_t n) {
    assert(n % tensor_type_info(type).block_elements == 0);
    if (n == 0) return;
    const bool in_blocks = visit_block(type, false, [&]<typename Block>() {
        dequantize_blocks<Block>(src, dst, n);
        return true;
    });
    if (in_blocks) return;
    if (type == TensorType::kF32) std::memcpy(dst, src, n * sizeof(float));
    if (type == TensorType::kF16) convert_16_bit(src, dst, n, half_to_float);
    if (type == TensorType::kBF16) convert_16_bit(src, dst, n, bf16_to_float);
}

}  // namespace vkmoe
