#pragma once

#include "kernels/matvec.h"

namespace vkmoe {

/// As matvec, for any number of tokens, in tiles (on the scalar path in groups of kMaxMatvecTokens).
Dispatch matmul(KernelContext& context, const MatmulArgs& args);

/// matvec for few tokens, else matmul: both read activations alike.
Dispatch linear(KernelContext& context, const MatmulArgs& args);

}  // namespace vkmoe
