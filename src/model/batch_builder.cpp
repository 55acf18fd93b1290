#include "model/batch_builder.h"

#include "kernels/linear_shape.h"
#include "kernels/rms_norm.h"
#include "model/model.h"

#include <algorithm>

namespace vkmoe {

BatchBuilder::BatchBuilder(const Model& model, Workspace& workspace, KvCache& cache, uint32_t n_tokens)
    : model_(model), workspace_(workspace), cache_(cache), n_tokens_(n_tokens) {}

const HyperParameters& BatchBuilder::hyper() const {
    return model_.hyper();
}
KernelContext& BatchBuilder::kernels() const {
    return model_.kernels();
}

void BatchBuilder::add(std::vector<Dispatch> dispatches) {
    std::move(dispatches.begin(), dispatches.end(), std::back_inserter(dispatches_));
}

bool BatchBuilder::reads_q8(TensorType type) const {
    // All matrix kernels of a type have the same paths, so that one of them stands for all.
    return linear_path(kernels(), Op::kMatvec, type) == Path::kDot4;
}

void BatchBuilder::linear(std::string_view label, const Matrix& matrix, const Rows& x, uint64_t y,
                          uint32_t n_rows, uint64_t residual) {
    add(vkmoe::linear(kernels(), {.type = matrix.type,
                                  .weights = matrix.address,
                                  .x = reads_q8(matrix.type) ? x.q8 : x.f32,
                                  .y = y,
                                  .residual = residual,
                                  .n_rows = matrix.n_rows,
                                  .n_columns = matrix.n_columns,
                                  .n_tokens = n_rows,
                                  .label = label}));
}

Rows BatchBuilder::norm(const Vector& weight, uint64_t x, uint32_t n_rows,
                        std::initializer_list<TensorType> readers) {
    auto is_q8 = [&](TensorType type) { return reads_q8(type); };
    Rows rows;
    if (std::any_of(readers.begin(), readers.end(), is_q8)) rows.q8 = workspace_.normed_q8.address;
    if (!std::all_of(readers.begin(), readers.end(), is_q8)) rows.f32 = workspace_.normed.address;
    add(rms_norm(kernels(), {.input = x,
                             .weight = weight.address,
                             .output = rows.f32,
                             .output_q8 = rows.q8,
                             .n_rows = n_rows,
                             .n_columns = hyper().n_embedding,
                             .epsilon = hyper().norm_epsilon}));
    return rows;
}

}  // namespace vkmoe
