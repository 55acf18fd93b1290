#pragma once

#include "conformance/case.h"
#include "kernels/kernel_table.h"

#include <vector>

namespace vkmoe::conformance {

// One function an op, in the file of its name.
std::vector<Case> matvec_cases(const KernelKey& cell, Depth depth);
std::vector<Case> embed_rows_cases(const KernelKey& cell, Depth depth);
std::vector<Case> matmul_cases(const KernelKey& cell, Depth depth);
std::vector<Case> expert_matvec_cases(const KernelKey& cell, Depth depth);
std::vector<Case> expert_matvec_sum_cases(const KernelKey& cell, Depth depth);
std::vector<Case> expert_matmul_cases(const KernelKey& cell, Depth depth);
std::vector<Case> router_cases(const KernelKey& cell, Depth depth);
std::vector<Case> router_statistics_cases(const KernelKey& cell, Depth depth);
std::vector<Case> combine_cases(const KernelKey& cell, Depth depth);
std::vector<Case> weigh_rows_cases(const KernelKey& cell, Depth depth);
std::vector<Case> rms_norm_cases(const KernelKey& cell, Depth depth);
std::vector<Case> quantize_q8_cases(const KernelKey& cell, Depth depth);
std::vector<Case> pack_float16_cases(const KernelKey& cell, Depth depth);
std::vector<Case> swiglu_cases(const KernelKey& cell, Depth depth);
std::vector<Case> argmax_cases(const KernelKey& cell, Depth depth);
std::vector<Case> qk_norm_rope_cases(const KernelKey& cell, Depth depth);
std::vector<Case> attention_cases(const KernelKey& cell, Depth depth);
std::vector<Case> attention_reduce_cases(const KernelKey& cell, Depth depth);
std::vector<Case> group_routes_cases(const KernelKey& cell, Depth depth);
std::vector<Case> page_fetch_cases(const KernelKey& cell, Depth depth);
std::vector<Case> page_resolve_cases(const KernelKey& cell, Depth depth);
std::vector<Case> page_batch_cases(const KernelKey& cell, Depth depth);
std::vector<Case> page_wave_cases(const KernelKey& cell, Depth depth);

}  // namespace vkmoe::conformance
