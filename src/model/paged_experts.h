#pragma once

#include "model/expert_blocks.h"

namespace vkmoe {

/// stream += the experts of a layer whose records come by the pager, whose table rows.experts has: as
/// add_experts, after the router and the look-ahead.
void add_paged_experts(BatchBuilder& batch, uint32_t layer, const ExpertRows& rows);

}  // namespace vkmoe
