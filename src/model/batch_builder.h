#pragma once

#include "kernels/matmul.h"
#include "model/kv_cache.h"
#include "model/weights.h"
#include "model/workspace.h"

#include <string_view>
#include <vector>

namespace vkmoe {

/// Collects the dispatches of one batch of n_tokens tokens. Blocks (blocks.h) add to it; an architecture
/// strings blocks together; the session records what came of it.
class BatchBuilder {
  public:
    BatchBuilder(const Model& model, Workspace& workspace, KvCache& cache, uint32_t n_tokens);

    const Model& model() const { return model_; }
    const HyperParameters& hyper() const;
    KernelContext& kernels() const;
    Workspace& workspace() const { return workspace_; }
    KvCache& cache() const { return cache_; }
    uint32_t n_tokens() const { return n_tokens_; }

    void add(Dispatch dispatch) { dispatches_.push_back(std::move(dispatch)); }
    void add(std::vector<Dispatch> dispatches);
    const std::vector<Dispatch>& dispatches() const { return dispatches_; }

    /// Whether `linear` reads packed int8 where the weights are of this type.
    bool reads_q8(TensorType type) const;
    /// y = matrix . x (+ residual) for n_rows rows of x.
    void linear(std::string_view label, const Matrix& matrix, const Rows& x, uint64_t y, uint32_t n_rows,
                uint64_t residual = 0);
    /// The RMS norm of rows of n_embedding, in the forms that readers with these weight types want.
    Rows norm(const Vector& weight, uint64_t x, uint32_t n_rows, std::initializer_list<TensorType> readers);

  private:
    const Model& model_;
    Workspace& workspace_;
    KvCache& cache_;
    uint32_t n_tokens_;
    std::vector<Dispatch> dispatches_;
};

}  // namespace vkmoe
