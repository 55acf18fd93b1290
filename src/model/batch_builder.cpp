#include "model/batch_builder.h"

#include "kernels/pack_float16.h"
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

void BatchBuilder::complete_products() {
    std::ranges::move(waiting_, std::back_inserter(parts_.back().dispatches));
    waiting_.clear();
}

void BatchBuilder::add(Dispatch dispatch) {
    complete_products();
    parts_.back().dispatches.push_back(std::move(dispatch));
}

void BatchBuilder::add(std::vector<Dispatch> dispatches) {
    complete_products();
    std::ranges::move(dispatches, std::back_inserter(parts_.back().dispatches));
}

void BatchBuilder::copy(const Allocation& from, const Allocation& to) {
    complete_products();
    parts_.back().copies.emplace_back(from, to);
}

std::vector<ProgramPart> BatchBuilder::take_parts() {
    complete_products();
    return std::move(parts_);
}

void BatchBuilder::add_host_step(std::unique_ptr<HostStep> step,
                                 std::vector<std::vector<Dispatch>> dispatches) {
    complete_products();
    parts_.back().step = std::move(step);
    parts_.back().step_dispatches = std::move(dispatches);
    parts_.emplace_back();
}

ActivationLayout BatchBuilder::layout(TensorType type, uint32_t n_tokens) const {
    return linear_layout(kernels(), type, n_tokens);
}

ActivationLayout BatchBuilder::layout(ExpertForm form, TensorType type) const {
    return activation_layout(linear_path(kernels(), expert_op(form), type));
}

Rows BatchBuilder::rows_for(const RowBuffers& buffers, std::initializer_list<ActivationLayout> readers) {
    Rows rows;
    for (ActivationLayout wanted : readers) {
        if (wanted == ActivationLayout::kQ8) rows.q8 = buffers.q8.address;
        if (wanted == ActivationLayout::kFloat16) rows.f16 = buffers.f16.address;
        if (wanted != ActivationLayout::kQ8) rows.f32 = buffers.f32.address;
    }
    return rows;
}

std::optional<Dispatch> BatchBuilder::packed(const Rows& rows, uint32_t n_rows, uint32_t n_columns,
                                             RowChoice choice) const {
    if (rows.f16 == 0) return std::nullopt;
    return pack_float16(
        kernels(),
        {.input = rows.f32, .output = rows.f16, .n_rows = n_rows, .n_columns = n_columns, .rows = choice});
}

void BatchBuilder::pack(const Rows& rows, uint32_t n_rows, uint32_t n_columns) {
    if (std::optional<Dispatch> dispatch = packed(rows, n_rows, n_columns)) add(*std::move(dispatch));
}

void BatchBuilder::linear(std::string_view label, const Matrix& matrix, const Rows& x, uint64_t y,
                          uint32_t n_rows, uint64_t residual) {
    if (waiting_.size() == workspace_.split_sums.size()) complete_products();
    MatmulDispatches dispatches =
        vkmoe::linear(kernels(), {.type = matrix.type,
                                  .weights = matrix.address,
                                  .x = x.in(layout(matrix.type, n_rows)),
                                  .y = y,
                                  .residual = residual,
                                  .n_rows = matrix.n_rows,
                                  .n_columns = matrix.n_columns,
                                  .n_tokens = n_rows,
                                  .split_sums = workspace_.split_sums[waiting_.size()],
                                  .label = label});
    parts_.back().dispatches.push_back(std::move(dispatches.product));
    if (dispatches.sum) waiting_.push_back(*std::move(dispatches.sum));
}

Rows BatchBuilder::norm(const Vector& weight, uint64_t x, uint32_t n_rows,
                        std::initializer_list<ActivationLayout> readers) {
    const Rows rows = rows_for(workspace_.normed, readers);
    add(rms_norm(kernels(), {.input = x,
                             .weight = weight.address,
                             .output = rows.f32,
                             .output_q8 = rows.q8,
                             .n_rows = n_rows,
                             .n_columns = hyper().n_embedding,
                             .epsilon = hyper().norm_epsilon}));
    pack(rows, n_rows, hyper().n_embedding);
    return rows;
}

}  // namespace vkmoe
