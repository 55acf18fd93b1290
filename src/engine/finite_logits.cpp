#include "engine/finite_logits.h"

#include "base/error.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace vkmoe {

void require_finite_logits(std::span<const float> logits, uint32_t position) {
    constexpr uint32_t kInfinity = 0x7F800000;
    // Compilers vectorize this, but no search.
    uint32_t greatest = 0;
    for (const float logit : logits)
        greatest = std::max(greatest, std::bit_cast<uint32_t>(logit) & 0x7FFFFFFF);
    if (greatest < kInfinity) return;
    const auto broken = std::ranges::find_if_not(logits, [](float logit) { return std::isfinite(logit); });
    fail_broken_logit(static_cast<uint32_t>(broken - logits.begin()), *broken, position);
}

void fail_broken_logit(uint32_t token, float logit, uint32_t position) {
    fail(ErrorCode::kInternal,
         "the logit of token {} is {} at position {}: the weights are damaged or the computation "
         "overflows; try a float32 KV cache",
         token, logit, position);
}

}  // namespace vkmoe
