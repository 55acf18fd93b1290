#pragma once

#include "conformance/case.h"
#include "kernels/kernel_table.h"

#include <vector>

namespace vkmoe::conformance {

// One function an op, in the file of its name.
std::vector<Case> matvec_cases(const KernelKey& cell, Depth depth);

}  // namespace vkmoe::conformance
