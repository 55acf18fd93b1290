#pragma once

#include "gpu/device.h"
#include "gpu/pipeline_executables.h"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace vkmoe {

/// What a pipeline is made of. spirv must outlive the store (the generated kernel table does).
struct PipelineSource {
    std::string name;  ///< for messages, labels and profiles
    std::span<const uint32_t> spirv;
    std::vector<uint32_t> constants;  ///< specialization constants 0, 1, 2 … (floats by their bits)
    uint32_t subgroup_size = 0;       ///< of the plan's; required of the driver, with full subgroups. 0: any
};

/// How a pipeline came to be, of a store that measures.
struct PipelineMeasures {
    double milliseconds = 0;  ///< in vkCreateComputePipelines
    /// The driver's own figures; empty where it tells none.
    std::vector<PipelineExecutable> executables;
};

/// One compute pipeline, made by a worker thread. handle() waits until it is there, and throws what went
/// wrong in making it.
class Pipeline {
  public:
    VkPipeline handle() const;
    VkPipelineLayout layout() const { return layout_; }
    const PipelineSource& source() const { return source_; }
    const std::string& name() const { return source_.name; }
    /// Waits at most so long; whether making it has ended, well or not.
    bool wait_for(std::chrono::milliseconds time) const;
    /// Once it has ended.
    const PipelineMeasures& measures() const { return measures_; }

  private:
    friend class PipelineStore;
    enum class State { kPending, kReady, kFailed };
    mutable std::mutex mutex_;
    mutable std::condition_variable made_;
    State state_ = State::kPending;
    VkPipeline pipeline_ = VK_NULL_HANDLE;
    VkPipelineLayout layout_ = VK_NULL_HANDLE;
    PipelineSource source_;
    PipelineMeasures measures_;
    std::exception_ptr failure_;
};

enum class PipelineMaking {
    kForUse,   ///< from the cache file, where they are there
    kMeasured  ///< anew, without a cache, with PipelineMeasures
};

/// Makes pipelines in parallel and keeps them; the same source gives the same Pipeline. All share one layout:
/// no descriptor sets, 128 bytes of push constants. Backed by a VkPipelineCache on disk under
/// $VKMOE_CACHE_DIR, else $XDG_CACHE_HOME/vkmoe, else ~/.cache/vkmoe, in a file named by driver UUID and hash
/// of all kernels; a damaged or foreign file is ignored.
class PipelineStore {
  public:
    explicit PipelineStore(std::shared_ptr<Device> device, uint64_t kernels_hash = 0,
                           PipelineMaking making = PipelineMaking::kForUse);
    ~PipelineStore();
    PipelineStore(const PipelineStore&) = delete;
    PipelineStore& operator=(const PipelineStore&) = delete;

    /// Returns at once; the pipeline is made in the background. Thread-safe. Lives as long as the store.
    const Pipeline* get(const PipelineSource& source);
    /// Writes the cache file if anything new was made (through a temporary file and rename). Failures are
    /// logged, not thrown.
    void save() noexcept;
    VkPipelineLayout layout() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace vkmoe
