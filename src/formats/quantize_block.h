#pragma once

#include "formats/blocks.h"
#include "formats/blocks_iq.h"
#include "formats/blocks_k.h"

namespace vkmoe {

// Block::kElements numbers to one block, which comes zeroed. The types that have no function here cannot be
// quantized to.

void quantize_block(const float* x, BlockQ4_0& block);
void quantize_block(const float* x, BlockQ4_1& block);
void quantize_block(const float* x, BlockQ5_0& block);
void quantize_block(const float* x, BlockQ5_1& block);
void quantize_block(const float* x, BlockQ8_0& block);
void quantize_block(const float* x, BlockQ1_0& block);
void quantize_block(const float* x, BlockQ2_0& block);
void quantize_block(const float* x, BlockTQ1_0& block);
void quantize_block(const float* x, BlockTQ2_0& block);

void quantize_block(const float* x, BlockQ2_K& block);
void quantize_block(const float* x, BlockQ3_K& block);
void quantize_block(const float* x, BlockQ4_K& block);
void quantize_block(const float* x, BlockQ5_K& block);
void quantize_block(const float* x, BlockQ6_K& block);

void quantize_block(const float* x, BlockIQ4_NL& block);
void quantize_block(const float* x, BlockIQ4_XS& block);
void quantize_block(const float* x, BlockMXFP4& block);
void quantize_block(const float* x, BlockNVFP4& block);

template <typename Block>
inline constexpr bool kMakesBlock = requires(const float* x, Block& block) {
    quantize_block(x, block);
};

}  // namespace vkmoe
