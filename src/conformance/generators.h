#pragma once

#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace vkmoe::conformance {

/// 0 ... n - 1
inline uint32_t random_below(std::mt19937& random, uint32_t n) {
    return std::uniform_int_distribution<uint32_t>(0, n - 1)(random);
}

inline bool random_bool(std::mt19937& random) {
    return random_below(random, 2) == 0;
}

template <typename T>
T pick(std::mt19937& random, const std::vector<T>& from) {
    return from[random_below(random, static_cast<uint32_t>(from.size()))];
}

/// What numbers an input holds.
enum class Numbers {
    kPlain,       ///< of ordinary size, each 32 of a size of their own
    kSubnormal,   ///< mostly subnormal, which devices may flush to zero
    kLarge,       ///< large, but with finite results
    kNan,         ///< plain, but for one NaN
    kInfinities,  ///< plain, but for some infinities of both signs
};

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// n numbers, normally distributed around 0.
std::vector<float> normal_numbers(std::mt19937& random, size_t n, float deviation = 1);

/// n numbers, normally distributed, rows of every size: each block of 32 is scaled by its own power of two.
std::vector<float> random_row_values(std::mt19937& random, size_t n);

/// n numbers of a kind; the plain ones as random_row_values has them. Where special numbers are few, they are
/// in the middle row of n_rows.
std::vector<float> random_numbers(std::mt19937& random, Numbers kind, uint32_t n_rows, uint32_t n_columns);

}  // namespace vkmoe::conformance
