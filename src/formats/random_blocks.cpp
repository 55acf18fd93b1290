#include "formats/random_blocks.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/error.h"
#include "formats/blocks_visit.h"
#include "formats/dequantize.h"
#include "formats/half.h"
#include "formats/quantize.h"
#include "formats/quantize_block.h"

namespace vkmoe {
namespace {

void set_scale(BlockIQ1_M& block, uint16_t d) {
    pack_iq1_m_d(d, block.scales);
}

template <typename Block>
void set_scale(Block& block, uint16_t d) {
    block.d = d;
}

template <typename Block>
void set_scales(std::byte* blocks, uint64_t n, double d) {
    for (uint64_t i = 0; i < n / Block::kElements; ++i) {
        Block block;
        std::memcpy(&block, blocks + i * sizeof block, sizeof block);
        set_scale(block, float_to_half(static_cast<float>(d)));
        std::memcpy(blocks + i * sizeof block, &block, sizeof block);
    }
}

double root_mean_square(TensorType type, const std::byte* blocks, uint64_t n) {
    std::vector<float> numbers(n);
    dequantize_row(type, blocks, numbers.data(), n);
    double sum = 0;
    for (const float number : numbers) sum += double{number} * number;
    return std::sqrt(sum / static_cast<double>(n));
}

}  // namespace

void random_row(TensorType type, uint64_t seed, double deviation, std::byte* dst, uint64_t n) {
    assert(n % tensor_type_info(type).block_elements == 0);
    if (can_quantize(type)) {
        fail(ErrorCode::kUnsupported,
             "random blocks exist only for the IQ1, IQ2 and IQ3 types, not {}; quantize random numbers",
             tensor_type_info(type).name);
    }
    if (n == 0) return;
    std::mt19937_64 random(seed);
    std::generate_n(dst, row_bytes(type, n), [&random] { return static_cast<std::byte>(random() >> 56); });
    visit_block(type, 0, [&]<typename Block>() {
        if constexpr (!kMakesBlock<Block>) {
            set_scales<Block>(dst, n, 1);
            set_scales<Block>(dst, n, deviation / root_mean_square(type, dst, n));
        }
        return 0;
    });
}

}  // namespace vkmoe
