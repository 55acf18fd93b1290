#pragma once

#include "formats/blocks.h"
#include "formats/blocks_iq.h"
#include "formats/blocks_k.h"
#include "formats/tensor_type.h"

namespace vkmoe {

/// Calls visit.operator()<Block>() with the struct of the type's blocks and gives its result; for F32, F16
/// and BF16, which have no blocks, `plain`.
template <typename Result, typename Visit>
Result visit_block(TensorType type, Result plain, Visit visit) {
    switch (type) {
        case TensorType::kF32:
        case TensorType::kF16:
        case TensorType::kBF16:
            return plain;
#define VKMOE_CASE(NAME)      \
    case TensorType::k##NAME: \
        return visit.template operator()<Block##NAME>();
            VKMOE_CASE(Q4_0)
            VKMOE_CASE(Q4_1)
            VKMOE_CASE(Q5_0)
            VKMOE_CASE(Q5_1)
            VKMOE_CASE(Q8_0)
            VKMOE_CASE(Q2_K)
            VKMOE_CASE(Q3_K)
            VKMOE_CASE(Q4_K)
            VKMOE_CASE(Q5_K)
            VKMOE_CASE(Q6_K)
            VKMOE_CASE(IQ1_S)
            VKMOE_CASE(IQ1_M)
            VKMOE_CASE(IQ2_XXS)
            VKMOE_CASE(IQ2_XS)
            VKMOE_CASE(IQ2_S)
            VKMOE_CASE(IQ3_XXS)
            VKMOE_CASE(IQ3_S)
            VKMOE_CASE(IQ4_NL)
            VKMOE_CASE(IQ4_XS)
            VKMOE_CASE(TQ1_0)
            VKMOE_CASE(TQ2_0)
            VKMOE_CASE(MXFP4)
            VKMOE_CASE(NVFP4)
            VKMOE_CASE(Q1_0)
            VKMOE_CASE(Q2_0)
#undef VKMOE_CASE
    }
    return plain;
}

}  // namespace vkmoe
