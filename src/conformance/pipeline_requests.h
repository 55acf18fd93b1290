#pragma once

#include "formats/published_shapes.h"
#include "kernels/kernel_table.h"

#include <cstdint>
#include <vector>

namespace vkmoe::conformance {

/// A step of a model, for which pipelines are asked.
struct Step {
    const PublishedShape* shape = nullptr;
    uint32_t n_tokens = 0;
};

/// Asks for all pipelines of a cell that the step takes, by the host functions of src/kernels that real work
/// calls: they choose the specialization constants. `kernels` may be for compiling only; addresses are made
/// up. Empty where the step does not come to the cell: an op for few tokens, or a type whose blocks do not
/// divide the rows. What a host function throws for a shape that the device cannot do passes through.
std::vector<const Pipeline*> request_pipelines(KernelContext& kernels, const KernelKey& cell,
                                               const Step& step);

/// The steps that the plan of any model of this shape tells apart: 1 token, 2 to 16, 64 and 512.
std::vector<Step> steps_of(const PublishedShape& shape);

}  // namespace vkmoe::conformance
