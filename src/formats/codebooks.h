#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/tensor_type.h"

namespace vkmoe {

// Grids of the IQ types: the numbers a stored index stands for, one int8 a byte, the first lowest. Signs are
// stored apart but for IQ1, whose numbers are -1, 0 and 1.
std::span<const uint64_t> iq1_grid();      ///< 2048 entries of 8, of IQ1_S and IQ1_M
std::span<const uint64_t> iq2_xxs_grid();  ///< 256 of 8
std::span<const uint64_t> iq2_xs_grid();   ///< 512 of 8
std::span<const uint64_t> iq2_s_grid();    ///< 1024 of 8
std::span<const uint32_t> iq3_xxs_grid();  ///< 256 of 4
std::span<const uint32_t> iq3_s_grid();    ///< 512 of 4

/// The bytes of this type's grid, as kernels read it; empty for types without one.
std::span<const std::byte> codebook(TensorType type);

/// What the 4-bit codes of IQ4_NL and IQ4_XS stand for (ggml-common.h, kvalues_iq4nl).
inline constexpr std::array<int8_t, 16> kIq4Values = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                      1,    13,   25,  38,  53,  69,  89,  113};

/// The 4-bit floats (E2M1) of MXFP4 and NVFP4, doubled to be whole numbers. Code 8 is minus zero; ggml's
/// table has plain zero there.
inline constexpr std::array<int8_t, 16> kFp4Values = {0, 1,  2,  3,  4,  6,  8,  12,
                                                      0, -1, -2, -3, -4, -6, -8, -12};

/// The eight signs (bit k set: number k is negative) of IQ2_XXS, IQ2_XS and IQ3_XXS: seven are stored, and
/// the eighth makes the count of negative ones even.
constexpr uint32_t even_signs(uint32_t seven) {
    return seven | (static_cast<uint32_t>(std::popcount(seven) & 1) << 7);
}

}  // namespace vkmoe
