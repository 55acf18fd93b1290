#pragma once

#include "kernels/activation.h"
#include "kernels/matvec.h"

namespace vkmoe {

/// As matvec, for any number of tokens, in tiles (on the scalar path of register_tile_tokens).
Dispatch matmul(KernelContext& context, const MatmulArgs& args);

/// matvec or matmul (dense_op); x as linear_layout says.
Dispatch linear(KernelContext& context, const MatmulArgs& args);

/// How linear reads activations.
ActivationLayout linear_layout(KernelContext& context, TensorType type, uint32_t n_tokens);

}  // namespace vkmoe
