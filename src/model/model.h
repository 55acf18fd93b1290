#pragma once

#include "experts/host_tier.h"
#include "experts/pager_mode.h"
#include "model/hyper_parameters.h"
#include "model/memory_budgets.h"
#include "model/session_memory.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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
    /// Bytes of device memory, sessions included; 0: what is free, less headroom.
    uint64_t vram_budget = 0;
    /// Bytes of RAM for all that lies there: experts, what reads pass through, a session's part; on a device
    /// whose memory is the host's RAM also all of its memory. 0: what is free, less headroom.
    uint64_t ram_budget = 0;
    uint64_t ram_reserve = 0;  ///< bytes of ram_budget that are not the model's to take
    /// The largest session that will be made: budgets leave room for it, and the load fails where they
    /// cannot. Numbers as session_shape takes them. Without it room is left for a default one.
    std::optional<SessionShape> session;
    PagerMode pager = PagerMode::kAuto;
    bool measure_only = false;  ///< load no weights: hyper(), kernels() and needs() are all there is
    Prefetch prefetch = Prefetch::kAuto;
    std::vector<std::string> ignored_keys;  ///< metadata keys that are treated as if the file lacked them
    CopyBy copy_by = CopyBy::kAuto;
};

/// What a model needs of memory, and what it may have.
struct MemoryNeeds {
    uint64_t dense_bytes = 0;          ///< of device memory, for all weights but experts
    uint64_t resident_bytes = 0;       ///< of device memory, for all weights
    std::vector<RecordLayer> records;  ///< of experts: sizes, and where they lie in the file
    /// That does or could page it: the one asked for, else kDevice, which needs a little more memory.
    PagerMode pager = PagerMode::kAuto;
    MemoryQuestion question;
    MemoryBudgets budgets;
    SessionShape session;  ///< that there is room for
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
    /// As they were when it was loaded.
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
