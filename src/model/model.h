#pragma once

#include "experts/host_tier.h"
#include "experts/pager_mode.h"
#include "model/hyper_parameters.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vkmoe {

class BatchBuilder;
class KernelContext;
class Pager;
struct Architecture;
struct Weights;

struct ModelParams {
    std::string device;                   ///< as choose_device takes it
    std::function<bool(float)> progress;  ///< share loaded, 0..1; false gives up with Error(kCancelled)
    uint64_t vram_budget = 0;  ///< bytes of device memory, sessions included; 0: what is free, less headroom
    uint64_t ram_budget = 0;   ///< bytes of host memory for experts; 0: what is free, less headroom
    PagerMode pager = PagerMode::kAuto;
    bool measure_only = false;  ///< load no weights: hyper(), kernels() and needs() are all there is
    Prefetch prefetch = Prefetch::kAuto;
};

/// What a model's weights need.
struct MemoryNeeds {
    uint64_t dense_bytes = 0;          ///< of device memory, for all but experts
    uint64_t resident_bytes = 0;       ///< of device memory, for all
    std::vector<RecordLayer> records;  ///< of experts: sizes, and where they lie in the file
    bool is_paged = false;             ///< by the budgets given
    /// That does or could page it: the one asked for, else kDevice, which needs a little more memory.
    PagerMode pager = PagerMode::kAuto;
};

/// A model whose weights are on a device. Immutable once loaded, so that sessions may share it.
class Model {
  public:
    /// Throws Error naming the file and the tensor or key that is wrong.
    static std::shared_ptr<Model> load(const std::string& path, const ModelParams& params = {});
    ~Model();
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    const GgufFile& file() const { return *file_; }
    const HyperParameters& hyper() const { return hyper_; }
    const Weights& weights() const { return *weights_; }
    KernelContext& kernels() const { return *kernels_; }
    /// Where not all experts are resident, what brings them; else null.
    Pager* pager() const { return pager_.get(); }
    /// Of a model loaded with params.measure_only.
    const MemoryNeeds& needs() const { return needs_; }
    uint64_t n_parameters() const { return n_parameters_; }
    uint64_t weight_bytes() const { return weight_bytes_; }  ///< in device memory

    /// Adds embedding and all layers for the batch's tokens; the residual stream is then ready for
    /// add_logits.
    void add_layers(BatchBuilder& batch) const;

  private:
    Model();
    std::unique_ptr<GgufFile> file_;
    HyperParameters hyper_;
    const Architecture* architecture_ = nullptr;
    std::unique_ptr<KernelContext> kernels_;
    std::unique_ptr<Weights> weights_;
    std::unique_ptr<Pager> pager_;
    MemoryNeeds needs_;
    uint64_t n_parameters_ = 0;
    uint64_t weight_bytes_ = 0;
};

}  // namespace vkmoe
