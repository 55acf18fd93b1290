#include <cstring>

#include "formats/codebooks.h"
#include "formats/dequantize_block.h"
#include "formats/half.h"

// All products here but the last are exact in float, so their order does not matter.

namespace vkmoe {
namespace {

/// Half i % 2 of bytes[i / 2].
uint32_t half_byte(const uint8_t* bytes, uint32_t i) {
    return (static_cast<uint32_t>(bytes[i / 2]) >> (4 * (i % 2))) & 15;
}

/// The numbers of a grid entry with their signs, times scale.
template <typename Entry>
void put_signed(Entry entry, uint32_t signs, float scale, float* dst) {
    for (uint32_t k = 0; k < sizeof(Entry); ++k) {
        const float magnitude = scale * static_cast<float>((entry >> (8 * k)) & 255);
        dst[k] = ((signs >> k) & 1) != 0 ? -magnitude : magnitude;
    }
}

/// IQ1: the 8 numbers of a grid entry plus delta, times scale.
void put_shifted(uint64_t entry, bool negative_delta, float scale, float* dst) {
    const float delta = negative_delta ? -0.125f : 0.125f;
    for (uint32_t k = 0; k < 8; ++k) {
        dst[k] = scale * (static_cast<float>(static_cast<int8_t>(entry >> (8 * k))) + delta);
    }
}

float iq2_scale(float d, uint32_t s) {
    return d * (0.5f + static_cast<float>(s)) * 0.25f;
}

}  // namespace

void dequantize_block(const BlockIQ1_S& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t i = 0; i < 32; ++i) {
        const uint32_t qh = block.qh[i / 4];
        const uint32_t entry = block.qs[i] | (((qh >> (3 * (i % 4))) & 7) << 8);
        const float scale = d * static_cast<float>(2 * ((qh >> 12) & 7) + 1);
        put_shifted(iq1_grid()[entry], (qh >> 15) != 0, scale, dst + 8 * i);
    }
}

void dequantize_block(const BlockIQ1_M& block, float* dst) {
    const float d = half_to_float(unpack_iq1_m_d(block.scales));
    for (uint32_t i = 0; i < 32; ++i) {
        const uint32_t g = i / 2;
        const uint32_t s = (static_cast<uint32_t>(block.scales[g / 4]) >> (3 * (g % 4))) & 7;
        const uint32_t qh = half_byte(block.qh, i);
        const uint32_t entry = block.qs[i] | ((qh & 7) << 8);
        put_shifted(iq1_grid()[entry], (qh & 8) != 0, d * static_cast<float>(2 * s + 1), dst + 8 * i);
    }
}

void dequantize_block(const BlockIQ2_XXS& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t g = 0; g < 8; ++g) {
        const uint16_t* words = block.qs + 4 * g;
        const uint32_t rest = words[2] | (static_cast<uint32_t>(words[3]) << 16);
        const float scale = iq2_scale(d, rest >> 28);
        for (uint32_t k = 0; k < 4; ++k) {
            const uint32_t entry = (static_cast<uint32_t>(words[k / 2]) >> (8 * (k % 2))) & 255;
            put_signed(iq2_xxs_grid()[entry], even_signs((rest >> (7 * k)) & 127), scale,
                       dst + 32 * g + 8 * k);
        }
    }
}

void dequantize_block(const BlockIQ2_XS& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t i = 0; i < 32; ++i) {
        const uint32_t word = block.qs[i];
        put_signed(iq2_xs_grid()[word & 511], even_signs(word >> 9),
                   iq2_scale(d, half_byte(block.scales, i / 2)), dst + 8 * i);
    }
}

void dequantize_block(const BlockIQ2_S& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t i = 0; i < 32; ++i) {
        const uint32_t high = (static_cast<uint32_t>(block.qh[i / 4]) >> (2 * (i % 4))) & 3;
        put_signed(iq2_s_grid()[block.qs[i] | (high << 8)], block.signs[i],
                   iq2_scale(d, half_byte(block.scales, i / 2)), dst + 8 * i);
    }
}

void dequantize_block(const BlockIQ3_XXS& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t g = 0; g < 8; ++g) {
        uint32_t rest = 0;
        std::memcpy(&rest, block.scales + 4 * g, sizeof rest);
        const float scale = d * (0.5f + static_cast<float>(rest >> 28)) * 0.5f;
        for (uint32_t k = 0; k < 8; ++k) {
            const uint32_t signs = even_signs((rest >> (7 * (k / 2))) & 127) >> (4 * (k % 2));
            put_signed(iq3_xxs_grid()[block.qs[8 * g + k]], signs, scale, dst + 32 * g + 4 * k);
        }
    }
}

void dequantize_block(const BlockIQ3_S& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t i = 0; i < 64; ++i) {
        const uint32_t high = (static_cast<uint32_t>(block.qh[i / 8]) >> (i % 8)) & 1;
        const uint32_t signs = static_cast<uint32_t>(block.signs[i / 2]) >> (4 * (i % 2));
        const float scale = d * static_cast<float>(2 * half_byte(block.scales, i / 8) + 1);
        put_signed(iq3_s_grid()[block.qs[i] | (high << 8)], signs, scale, dst + 4 * i);
    }
}

void dequantize_block(const BlockIQ4_NL& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t j = 0; j < 16; ++j) {
        dst[j] = d * static_cast<float>(kIq4Values[block.qs[j] & 15]);
        dst[j + 16] = d * static_cast<float>(kIq4Values[block.qs[j] >> 4]);
    }
}

void dequantize_block(const BlockIQ4_XS& block, float* dst) {
    const float d = half_to_float(block.d);
    for (uint32_t g = 0; g < 8; ++g) {
        const uint32_t high = (static_cast<uint32_t>(block.scales_h) >> (2 * g)) & 3;
        const uint32_t s = half_byte(block.scales_l, g) | (high << 4);
        const float scale = d * static_cast<float>(static_cast<int>(s) - 32);
        for (uint32_t j = 0; j < 16; ++j) {
            const uint8_t byte = block.qs[16 * g + j];
            dst[32 * g + j] = scale * static_cast<float>(kIq4Values[byte & 15]);
            dst[32 * g + j + 16] = scale * static_cast<float>(kIq4Values[byte >> 4]);
        }
    }
}

}  // namespace vkmoe
