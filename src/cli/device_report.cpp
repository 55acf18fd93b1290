#include "cli/device_report.h"

#include "base/error.h"
#include "base/host_memory.h"
#include "base/input_file.h"
#include "base/units.h"
#include "cli/build_info.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/utsname.h>
#include <volk.h>

#include <array>
#include <cstdlib>
#include <sstream>
#include <string_view>
#include <thread>

extern "C" char** environ;

namespace vkmoe::cli {
namespace {

/// Lines "name: value", under headings.
class Lines {
  public:
    void heading(std::string_view title) { text_ += fmt::format("{}{}\n", text_.empty() ? "" : "\n", title); }
    void line(std::string_view name, std::string_view value) {
        text_ += fmt::format("  {:<18} {}\n", fmt::format("{}:", name), value);
    }
    const std::string& text() const { return text_; }

  private:
    std::string text_;
};

/// Of the system's own description of itself.
/// Empty where the system has no such file.
std::string os_release() {
    try {
        return read_stream("/etc/os-release");
    } catch (const Error&) {
        return {};
    }
}

std::string system_name() {
    std::string name = "unknown";
    std::istringstream file(os_release());
    constexpr std::string_view kKey = "PRETTY_NAME=";
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with(kKey)) continue;
        name = line.substr(kKey.size());
        if (name.size() >= 2 && name.front() == '"' && name.back() == '"')
            name = name.substr(1, name.size() - 2);
    }
    utsname kernel{};
    if (uname(&kernel) == 0)
        name += fmt::format(", {} {} {}", kernel.sysname, kernel.release, kernel.machine);
    return name;
}

/// Variables that change what vkmoe or the driver does. Those of drivers begin with their name.
std::string environment() {
    constexpr std::array<std::string_view, 12> kPrefixes = {
        "VKMOE_", "VK_", "RADV_", "AMD_", "ACO_", "ANV_", "INTEL_", "NVK_", "MESA_", "LP_", "GGML_", "__GL"};
    std::vector<std::string_view> found;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view variable = *entry;
        for (const std::string_view prefix : kPrefixes)
            if (variable.starts_with(prefix)) found.push_back(variable);
    }
    return found.empty() ? "none" : fmt::format("{}", fmt::join(found, " "));
}

std::string flags(const std::vector<std::pair<bool, std::string_view>>& list) {
    std::vector<std::string_view> set;
    for (const auto& [is_set, name] : list)
        if (is_set) set.push_back(name);
    return set.empty() ? "none" : fmt::format("{}", fmt::join(set, " "));
}

template <size_t size>
std::string hex(const std::array<uint8_t, size>& bytes) {
    return fmt::format("{:02x}", fmt::join(bytes, ""));
}

std::string_view element_name(MatrixElement element) {
    switch (element) {
        case MatrixElement::kFloat16:
            return "f16";
        case MatrixElement::kFloat32:
            return "f32";
        case MatrixElement::kInt8:
            return "i8";
        case MatrixElement::kInt32:
            return "i32";
        case MatrixElement::kOther:
            return "other";
    }
    return "other";
}

std::string shapes(const std::vector<MatrixShapeCaps>& list) {
    std::vector<std::string> texts;
    for (const MatrixShapeCaps& shape : list) {
        texts.push_back(fmt::format("{}x{}x{} {}*{}+{}={}{}{}", shape.m, shape.n, shape.k,
                                    element_name(shape.a), element_name(shape.b), element_name(shape.c),
                                    element_name(shape.result), shape.saturating ? " saturating" : "",
                                    shape.workgroup_scope
                                        ? fmt::format(" workgroup of {}", shape.workgroup_invocations)
                                        : std::string()));
    }
    return texts.empty() ? "none" : fmt::format("{}", fmt::join(texts, ", "));
}

void describe_limits(const DeviceCaps& caps, Lines& lines) {
    lines.line("allocation",
               fmt::format("at most {} at once, buffers up to {}", human_bytes(caps.max_allocation_size),
                           human_bytes(caps.max_buffer_size)));
    lines.line("workgroups",
               fmt::format("{} invocations, size {}, count {}, {} shared", caps.max_workgroup_invocations,
                           fmt::join(caps.max_workgroup_size, "x"), fmt::join(caps.max_workgroup_count, "x"),
                           human_bytes(caps.max_shared_memory)));
    lines.line("push constants", human_bytes(caps.max_push_constants));
    lines.line(
        "subgroups",
        fmt::format("{} ({} to {}), at most {} per workgroup, operations {:#x}{}{}{}", caps.subgroup_size,
                    caps.min_subgroup_size, caps.max_subgroup_size, caps.max_subgroups_per_workgroup,
                    caps.subgroup_operations, caps.subgroups_in_compute ? ", in compute" : "",
                    caps.subgroup_size_control ? ", size control" : "", caps.full_subgroups ? ", full" : ""));
    lines.line("timestamps", fmt::format("{} ns", caps.timestamp_period));
    lines.line("host pointers", caps.host_pointer_alignment == 0
                                    ? std::string("not importable")
                                    : fmt::format("aligned to {}", human_bytes(caps.host_pointer_alignment)));
}

void describe_features(const DeviceCaps& caps, Lines& lines) {
    lines.line("features",
               flags({{caps.buffer_device_address, "buffer_device_address"},
                      {caps.timeline_semaphore, "timeline_semaphore"},
                      {caps.synchronization2, "synchronization2"},
                      {caps.maintenance4, "maintenance4"},
                      {caps.integer_dot_product, "integer_dot_product"},
                      {caps.integer_dot_accelerated, "integer_dot_accelerated"},
                      {caps.scalar_block_layout, "scalar_block_layout"},
                      {caps.host_query_reset, "host_query_reset"},
                      {caps.float16, "float16"},
                      {caps.int8, "int8"},
                      {caps.storage_8bit, "storage_8bit"},
                      {caps.storage_16bit, "storage_16bit"},
                      {caps.vulkan_memory_model, "vulkan_memory_model"},
                      {caps.vulkan_memory_model_device_scope, "vulkan_memory_model_device_scope"}}));
    const MatrixCaps& matrices = caps.matrices;
    lines.line("matrices", flags({{matrices.cooperative_matrix, "cooperative_matrix"},
                                  {matrices.in_compute, "in_compute"},
                                  {matrices.workgroup_scope, "workgroup_scope"},
                                  {matrices.flexible_dimensions, "flexible_dimensions"},
                                  {matrices.per_element_operations, "per_element_operations"}}));
    if (!matrices.cooperative_matrix) return;
    lines.line("matrix shapes", shapes(matrices.shapes));
    lines.line("flexible shapes", shapes(matrices.flexible_shapes));
}

void describe_memory(const DeviceCaps& caps, Lines& lines) {
    for (size_t i = 0; i < caps.heaps.size(); ++i) {
        const MemoryHeapCaps& heap = caps.heaps[i];
        std::string types;
        for (size_t j = 0; j < caps.memory_types.size(); ++j) {
            const MemoryTypeCaps& type = caps.memory_types[j];
            if (type.heap != i) continue;
            types += fmt::format("; type {}: {}", j,
                                 flags({{type.device_local, "device-local"},
                                        {type.host_visible, "host-visible"},
                                        {type.host_coherent, "coherent"},
                                        {type.host_cached, "cached"}}));
        }
        lines.line(fmt::format("heap {}", i),
                   fmt::format("{}, budget {}{}{}", human_bytes(heap.size), human_bytes(heap.budget),
                               heap.device_local ? ", device-local" : "", types));
    }
    for (size_t i = 0; i < caps.queue_families.size(); ++i) {
        const QueueFamilyCaps& family = caps.queue_families[i];
        lines.line(fmt::format("queue family {}", i),
                   fmt::format("{} queues: {}, timestamps of {} bits", family.queue_count,
                               flags({{family.graphics, "graphics"},
                                      {family.compute, "compute"},
                                      {family.transfer, "transfer"}}),
                               family.timestamp_bits));
    }
}

std::vector<std::string> names_of(const std::vector<Path>& paths) {
    std::vector<std::string> names;
    for (const Path path : paths) names.emplace_back(path_name(path));
    return names;
}

void describe_plan(const DevicePlan& plan, Lines& lines) {
    lines.line("kernels", fmt::format("{}", fmt::join(path_names(plan), ", ")));
    for (uint32_t i = 0; i < kPathCount; ++i) {
        const auto path = static_cast<Path>(i);
        if (!missing_for(plan, path).empty())
            lines.line(fmt::format("no {}", path_name(path)),
                       fmt::format("lacks {}", missing_for(plan, path)));
    }
    lines.line("products", fmt::format("{}; of a few tokens {}", fmt::join(names_of(plan.tile_order), ", "),
                                       fmt::join(names_of(plan.matrix_order), ", ")));
    lines.line("subgroups used",
               fmt::format("{}{}, workgroups of {}; {} for products, {} for those of a few tokens, {} for "
                           "those with matrices",
                           plan.subgroup_size, plan.require_subgroup_size ? " (required for pipelines)" : "",
                           plan.workgroup_size, plan.product_subgroup_size, plan.team_subgroup_size,
                           plan.matrix_subgroup_size));
    lines.line("cores", fmt::format("{}", plan.core_count));
    lines.line("queues used",
               fmt::format("compute family {}, transfer {}", plan.compute_family,
                           plan.transfer_family ? fmt::format("family {}", *plan.transfer_family)
                                                : std::string("none")));
    lines.line("memory used",
               fmt::format("heaps [{}] in this order, chunks of {}, at most {} at once{}",
                           fmt::join(plan.heaps.device, ", "), human_bytes(plan.arena_chunk_size),
                           human_bytes(plan.max_allocation_size),
                           plan.unified_memory ? ", shared with the host" : ""));
    lines.line("enabled", fmt::format("{}", fmt::join(plan.extensions, " ")));
}

void describe_device(const FoundDevice& device, size_t index, bool is_default, Lines& lines) {
    const DeviceCaps& caps = device.caps;
    lines.heading(fmt::format("device {}{}: {}", index, is_default ? " (the default)" : "", caps.name));
    lines.line("kind", type_name(caps.type));
    lines.line("driver",
               fmt::format("{} {} ({:#x})", caps.driver_name, caps.driver_info, caps.driver_version));
    lines.line("Vulkan", version_string(caps.api_version));
    lines.line("ids",
               fmt::format("vendor {:#06x}, device {:#06x}, driver {}, pipeline cache {}", caps.vendor_id,
                           caps.device_id, hex(caps.driver_uuid), hex(caps.pipeline_cache_uuid)));
    describe_limits(caps, lines);
    describe_features(caps, lines);
    describe_memory(caps, lines);
    lines.line("extensions", fmt::format("{}", fmt::join(caps.extensions, " ")));
    if (device.plan)
        describe_plan(*device.plan, lines);
    else
        lines.line("unusable", device.refusal);
}

}  // namespace

std::string_view type_name(VkPhysicalDeviceType type) {
    switch (type) {
        case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
            return "discrete GPU";
        case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
            return "integrated GPU";
        case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
            return "virtual GPU";
        case VK_PHYSICAL_DEVICE_TYPE_CPU:
            return "CPU (a software driver)";
        default:
            return "other";
    }
}

std::string version_string(uint32_t version) {
    return fmt::format("{}.{}.{}", VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version),
                       VK_API_VERSION_PATCH(version));
}

std::vector<std::string> path_names(const DevicePlan& plan) {
    return names_of(plan.path_order);
}

std::string device_report(const std::vector<FoundDevice>& devices, std::optional<uint32_t> chosen,
                          const std::string& no_choice) {
    Lines lines;
    lines.heading(version_line());
    lines.line("compiler", build_description());
    lines.line("system", system_name());
    lines.line("host",
               fmt::format("{} threads, {} of memory, {} available", std::thread::hardware_concurrency(),
                           human_bytes(total_host_memory()), human_bytes(available_host_memory())));
    lines.line("Vulkan loader", version_string(volkGetInstanceVersion()));
    lines.line("environment", environment());
    if (!chosen) lines.line("no default device", no_choice);
    for (size_t i = 0; i < devices.size(); ++i) describe_device(devices[i], i, i == chosen, lines);
    return lines.text();
}

}  // namespace vkmoe::cli
