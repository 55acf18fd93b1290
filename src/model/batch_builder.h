#pragma once

#include "kernels/elementwise.h"
#include "kernels/matmul.h"
#include "kernels/product_choice.h"
#include "model/kv_cache.h"
#include "model/weights.h"
#include "model/workspace.h"
#include "sched/program.h"

#include <optional>
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

    void add(Dispatch dispatch);
    void add(std::vector<Dispatch> dispatches);
    /// Copies between two pieces of memory when all that was added is done. Nothing but a host step may
    /// follow in this part.
    void copy(const Allocation& from, const Allocation& to);
    /// Ends this part: the step runs before the next part begins. dispatches: for the step to submit.
    void add_host_step(std::unique_ptr<HostStep> step, std::vector<std::vector<Dispatch>> dispatches);
    /// The batch, which is thereby given away.
    std::vector<ProgramPart> take_parts();

    /// How a matrix for all tokens reads activations where its weights are of this type.
    ActivationLayout layout(TensorType type) const { return layout(type, n_tokens_); }
    ActivationLayout layout(TensorType type, uint32_t n_tokens) const;
    /// How the matrices of experts do.
    ActivationLayout layout(ExpertForm form, TensorType type) const;
    /// Where to write rows that are read in these layouts. What wrote them is followed by pack().
    static Rows rows_for(const RowBuffers& buffers, std::initializer_list<ActivationLayout> readers);
    /// What completes rows with what is made from their float32 form, where any reader wants that.
    std::optional<Dispatch> packed(const Rows& rows, uint32_t n_rows, uint32_t n_columns,
                                   RowChoice choice = {}) const;
    void pack(const Rows& rows, uint32_t n_rows, uint32_t n_columns);
    /// y = matrix . x (+ residual) for n_rows rows of x. Products that follow one another may run at once:
    /// none reads what another writes.
    void linear(std::string_view label, const Matrix& matrix, const Rows& x, uint64_t y, uint32_t n_rows,
                uint64_t residual = 0);
    /// The RMS norm of rows of n_embedding, in these layouts.
    Rows norm(const Vector& weight, uint64_t x, uint32_t n_rows,
              std::initializer_list<ActivationLayout> readers);

  private:
    /// Adds what completes the products since the last call.
    void complete_products();

    const Model& model_;
    Workspace& workspace_;
    KvCache& cache_;
    uint32_t n_tokens_;
    std::vector<ProgramPart> parts_{1};
    std::vector<Dispatch> waiting_;  ///< the sums of products that were split
};

}  // namespace vkmoe
