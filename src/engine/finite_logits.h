#pragma once

#include <cstdint>
#include <span>

namespace vkmoe {

/// Throws Error(kInternal) for the first logit that is NaN or infinite. position: of the token that was fed.
/// No model that runs here masks tokens by -infinity: that is an overflow too.
void require_finite_logits(std::span<const float> logits, uint32_t position);

/// Throws that error for a logit that is known not to be finite.
[[noreturn]] void fail_broken_logit(uint32_t token, float logit, uint32_t position);

}  // namespace vkmoe
