#pragma once

#include "common/fold_grid.h"
#include "formats/tensor_type.h"
#include "gpu/path.h"
#include "gpu/pipeline.h"
#include "gpu/plan.h"
#include "kernels/codebooks.h"
#include "kernels/op.h"

#include <span>
#include <string>
#include <vector>

namespace vkmoe {

/// Names one cell of the kernel table. type is that of the stored tensor: the weights, or the KV cache for
/// attention; kF32 for ops that have none. The path fixes how activations come (activation_layout).
struct KernelKey {
    Op op;
    TensorType type;
    Path path;
    bool operator==(const KernelKey&) const = default;
};

struct KernelBinary {
    KernelKey key;
    const char* name;  ///< "expert_matvec_q4_k_dot4"
    std::span<const uint32_t> spirv;
};

/// Every kernel that was built, from the families declared in shaders/CMakeLists.txt.
std::span<const KernelBinary> kernel_table();

/// A path that no kernel was built for, and why: what glslang or the headers of the build did not know.
struct UnbuiltPath {
    Path path;
    const char* reason;
};
std::span<const UnbuiltPath> unbuilt_paths();

/// Why no kernel of a path can run: what the build or (missing_for of gpu/plan.h) the device lacks. Empty
/// where those that exist can.
std::string missing_for_kernels(const DevicePlan& plan, Path path);

/// Hash of all SPIR-V in the table: names the pipeline cache.
uint64_t kernel_table_hash();

/// What select found: a kernel, or for every path why not.
struct Selection {
    const KernelBinary* kernel = nullptr;
    std::string reason;
};

/// The first cell of (op, type) in the plan's path order. A forced path falls through to the others of that
/// order only for ops and types that do not have it at all, and for F32 weights where it would round them to
/// float16.
Selection select_kernel(const DevicePlan& plan, Op op, TensorType type);
/// That cell, or Error(kUnsupported) with the reason.
const KernelBinary& require_kernel(const DevicePlan& plan, Op op, TensorType type);

enum class KernelUse {
    kRun,
    /// Dispatches are made for the sake of their pipelines, which are measured (PipelineMaking), and never
    /// recorded: addresses in them may be made up, and the context takes no device memory.
    kCompileOnly
};

/// Device, plan and pipelines: what a kernel's host function needs to make a Dispatch.
class KernelContext {
  public:
    explicit KernelContext(std::shared_ptr<Device> device, KernelUse use = KernelUse::kRun);

    Device& device() const { return *device_; }
    const std::shared_ptr<Device>& shared_device() const { return device_; }
    const DevicePlan& plan() const { return device_->plan(); }
    PipelineStore& pipelines() { return pipelines_; }

    /// require_kernel by the device's plan.
    const KernelBinary& kernel(Op op, TensorType type = TensorType::kF32) const;
    /// The very cell, whatever the plan's order (tests); Error(kUnsupported) when it was not built.
    const KernelBinary& kernel(const KernelKey& key) const;
    /// constants: specialization constants 0, 1, 2 …; constant 0 is always the workgroup size in x.
    const Pipeline* pipeline(const KernelBinary& kernel, std::vector<uint32_t> constants);
    /// From now on this kernel stands in place of the cell of its key: to see whether tests notice a wrong
    /// one. Its SPIR-V must outlive the context. Before any use of the context.
    void replace(const KernelBinary& kernel) { replaced_.push_back(kernel); }
    /// The most workgroups that a dispatch may have in x, y and z.
    GridSize most_groups() const { return most_groups_; }
    /// As if the device launched no more than that, to see that kernels fold. Before any use of the context.
    void limit_groups(GridSize most) { most_groups_ = most; }
    /// The grid that numbers of a type are looked up in; empty for types without one.
    Allocation codebook(TensorType type) { return codebooks_.memory(type); }

  private:
    const KernelBinary& replacement(const KernelBinary& kernel) const;

    std::shared_ptr<Device> device_;
    PipelineStore pipelines_;
    Codebooks codebooks_;
    std::vector<KernelBinary> replaced_;
    GridSize most_groups_;
};

}  // namespace vkmoe
