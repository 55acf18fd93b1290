// Push constants of the kernels that choose experts and sort tokens by them.
#ifndef VKMOE_SHADERS_ROUTING_PARAMS_H
#define VKMOE_SHADERS_ROUTING_PARAMS_H

#include "common/shared.h"

#ifdef __cplusplus
namespace vkmoe {
#endif

struct RouterParams {
    VKMOE_POINTER logits;
    VKMOE_POINTER ids;
    VKMOE_POINTER weights;
    VKMOE_UINT n_tokens;
    VKMOE_UINT n_experts;
    VKMOE_UINT renormalize;  // 0 or 1
    VKMOE_FLOAT least_sum;   // of the chosen probabilities, when they are renormalized
    VKMOE_FLOAT scale;
    VKMOE_UINT reserved;
};
VKMOE_CHECK_SIZE(RouterParams, 48);

#ifdef __cplusplus
}  // namespace vkmoe
#endif

#endif
