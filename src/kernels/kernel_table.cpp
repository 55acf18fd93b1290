#include "kernels/kernel_table.h"

#include "base/error.h"

#include <fmt/ranges.h>
#include <xxhash.h>

#include <algorithm>

namespace vkmoe {
namespace {

const KernelBinary* find_cell(const KernelKey& key) {
    const std::span<const KernelBinary> table = kernel_table();
    const auto found = std::find_if(table.begin(), table.end(),
                                    [&key](const KernelBinary& cell) { return cell.key == key; });
    return found == table.end() ? nullptr : &*found;
}

uint64_t hash_table() {
    // Of the cells' hashes: streaming would need a state to free.
    std::vector<uint64_t> hashes;
    for (const KernelBinary& cell : kernel_table())
        hashes.push_back(XXH3_64bits(cell.spirv.data(), cell.spirv.size_bytes()));
    return XXH3_64bits(hashes.data(), hashes.size() * sizeof(uint64_t));
}

/// Weights that a path would round more than their file does.
bool loses_precision(Path path, TensorType type) {
    // Files keep in F32 what must not be rounded, routers above all: where two experts are nearly tied,
    // float16 products choose the other one.
    return type == TensorType::kF32 && (path == Path::kCoopmat || path == Path::kCoopmat2);
}

const std::vector<Path>& path_order_of(const DevicePlan& plan, Op op) {
    if (is_tiled_product(op)) return plan.tile_order;
    return is_matrix_product(op) ? plan.matrix_order : plan.path_order;
}

/// What the kernel may count on; 0 where it has no use for subgroups.
uint32_t subgroup_size_of(const DevicePlan& plan, const KernelKey& key) {
    if (key.path == Path::kScalar) return 0;
    if (uses_matrices(key.path)) return plan.matrix_subgroup_size;
    if (is_tiled_product(key.op)) return plan.product_subgroup_size;
    return is_matrix_product(key.op) ? plan.team_subgroup_size : plan.subgroup_size;
}

}  // namespace

std::string missing_for_kernels(const DevicePlan& plan, Path path) {
    for (const UnbuiltPath& unbuilt : unbuilt_paths())
        if (unbuilt.path == path) return unbuilt.reason;
    return missing_for(plan, path);
}

uint64_t kernel_table_hash() {
    static const uint64_t hash = hash_table();
    return hash;
}

Selection select_kernel(const DevicePlan& plan, Op op, TensorType type) {
    Selection selection;
    std::vector<std::string_view> tried;
    for (Path path : path_order_of(plan, op)) {
        if (loses_precision(path, type)) continue;
        selection.kernel = find_cell({op, type, path});
        if (selection.kernel != nullptr) return selection;
        tried.push_back(path_name(path));
    }
    selection.reason = fmt::format("there is no kernel {} for {} on the paths of this device ({})",
                                   op_name(op), tensor_type_info(type).name, fmt::join(tried, ", "));
    return selection;
}

const KernelBinary& require_kernel(const DevicePlan& plan, Op op, TensorType type) {
    const Selection selection = select_kernel(plan, op, type);
    if (selection.kernel == nullptr) fail(ErrorCode::kUnsupported, "{}", selection.reason);
    return *selection.kernel;
}

KernelContext::KernelContext(std::shared_ptr<Device> device, KernelUse use)
    : device_(std::move(device)),
      pipelines_(device_, kernel_table_hash(),
                 use == KernelUse::kRun ? PipelineMaking::kForUse : PipelineMaking::kMeasured),
      codebooks_(device_, use == KernelUse::kRun ? ArenaMode::kTake : ArenaMode::kMeasure) {
    const std::array<uint32_t, 3>& most = device_->caps().max_workgroup_count;
    most_groups_ = {most[0], most[1], most[2]};
}

const KernelBinary& KernelContext::kernel(Op op, TensorType type) const {
    return replacement(require_kernel(plan(), op, type));
}

const KernelBinary& KernelContext::kernel(const KernelKey& key) const {
    const KernelBinary* cell = find_cell(key);
    if (cell == nullptr)
        fail(ErrorCode::kUnsupported, "kernel {} for {} was not built for path {}", op_name(key.op),
             tensor_type_info(key.type).name, path_name(key.path));
    return replacement(*cell);
}

const KernelBinary& KernelContext::replacement(const KernelBinary& kernel) const {
    for (const KernelBinary& other : replaced_)
        if (other.key == kernel.key) return other;
    return kernel;
}

const Pipeline* KernelContext::pipeline(const KernelBinary& kernel, std::vector<uint32_t> constants) {
    PipelineSource source;
    source.name = kernel.name;
    source.spirv = kernel.spirv;
    source.constants = std::move(constants);
    source.subgroup_size = subgroup_size_of(plan(), kernel.key);
    return pipelines_.get(source);
}

}  // namespace vkmoe
