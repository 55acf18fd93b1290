#pragma once

#include "kernels/activation.h"
#include "kernels/matvec.h"

namespace vkmoe {

/// The dispatches of a product. Where there are too few tiles for the device's cores, workgroups share the
/// columns of a tile, and a second dispatch adds up their sums, in the order of the columns.
struct MatmulDispatches {
    Dispatch product;
    std::optional<Dispatch> sum;

    std::vector<Dispatch> in_order() const;
};

/// As matvec, for any number of tokens, in tiles (on the scalar path of register_tile_tokens).
MatmulDispatches matmul(KernelContext& context, const MatmulArgs& args);

/// matvec or matmul (dense_op); x as linear_layout says.
MatmulDispatches linear(KernelContext& context, const MatmulArgs& args);

/// How linear reads activations.
ActivationLayout linear_layout(KernelContext& context, TensorType type, uint32_t n_tokens);

}  // namespace vkmoe
