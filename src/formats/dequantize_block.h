#pragma once

#include "formats/blocks.h"
#include "formats/blocks_iq.h"
#include "formats/blocks_k.h"

namespace vkmoe {

// One block to Block::kElements numbers at dst.

void dequantize_block(const BlockQ4_0& block, float* dst);
void dequantize_block(const BlockQ4_1& block, float* dst);
void dequantize_block(const BlockQ5_0& block, float* dst);
void dequantize_block(const BlockQ5_1& block, float* dst);
void dequantize_block(const BlockQ8_0& block, float* dst);
void dequantize_block(const BlockQ1_0& block, float* dst);
void dequantize_block(const BlockQ2_0& block, float* dst);
void dequantize_block(const BlockTQ1_0& block, float* dst);
void dequantize_block(const BlockTQ2_0& block, float* dst);
void dequantize_block(const BlockMXFP4& block, float* dst);
void dequantize_block(const BlockNVFP4& block, float* dst);

void dequantize_block(const BlockQ2_K& block, float* dst);
void dequantize_block(const BlockQ3_K& block, float* dst);
void dequantize_block(const BlockQ4_K& block, float* dst);
void dequantize_block(const BlockQ5_K& block, float* dst);
void dequantize_block(const BlockQ6_K& block, float* dst);

void dequantize_block(const BlockIQ1_S& block, float* dst);
void dequantize_block(const BlockIQ1_M& block, float* dst);
void dequantize_block(const BlockIQ2_XXS& block, float* dst);
void dequantize_block(const BlockIQ2_XS& block, float* dst);
void dequantize_block(const BlockIQ2_S& block, float* dst);
void dequantize_block(const BlockIQ3_XXS& block, float* dst);
void dequantize_block(const BlockIQ3_S& block, float* dst);
void dequantize_block(const BlockIQ4_NL& block, float* dst);
void dequantize_block(const BlockIQ4_XS& block, float* dst);

}  // namespace vkmoe
