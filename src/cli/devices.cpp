#include "base/error.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/json_text.h"
#include "gpu/device.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vkmoe::cli {
namespace {

struct FoundDevice {
    DeviceCaps caps;
    std::optional<DevicePlan> plan;
    std::string refusal;  ///< why there is no plan
};

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

uint64_t local_memory(const DeviceCaps& caps, uint64_t MemoryHeapCaps::*bytes) {
    uint64_t total = 0;
    for (const MemoryHeapCaps& heap : caps.heaps) {
        if (heap.device_local) total += heap.*bytes;
    }
    return total;
}

std::vector<FoundDevice> find_devices(const Instance& instance) {
    std::vector<FoundDevice> devices;
    for (VkPhysicalDevice physical : instance.physical_devices()) {
        FoundDevice found{query_caps(physical), std::nullopt, {}};
        try {
            found.plan = make_plan(found.caps, std::nullopt);
        } catch (const Error& error) {
            found.refusal = error.what();
        }
        devices.push_back(std::move(found));
    }
    return devices;
}

std::vector<std::string> path_names(const DevicePlan& plan) {
    std::vector<std::string> names;
    for (const Path path : plan.path_order) names.emplace_back(path_name(path));
    return names;
}

std::string describe(const FoundDevice& device, size_t index, bool is_default) {
    const DeviceCaps& caps = device.caps;
    std::string text = fmt::format("{} {}  {}\n", is_default ? '*' : ' ', index, caps.name);
    const auto line = [&text](std::string_view name, const std::string& value) {
        text += fmt::format("     {:<9} {}\n", name, value);
    };
    line("kind", std::string(type_name(caps.type)));
    line("driver", fmt::format("{} {}, Vulkan {}", caps.driver_name, caps.driver_info,
                               version_string(caps.api_version)));
    line("memory",
         fmt::format("{}, {} free for vkmoe{}", human_bytes(local_memory(caps, &MemoryHeapCaps::size)),
                     human_bytes(local_memory(caps, &MemoryHeapCaps::budget)),
                     caps.unified_memory() ? ", shared with the host" : ""));
    if (device.plan) {
        line("subgroup", fmt::format("{} invocations", device.plan->subgroup_size));
        line("kernels", fmt::format("{}", fmt::join(path_names(*device.plan), ", ")));
    } else {
        line("unusable", device.refusal);
    }
    return text;
}

nlohmann::ordered_json to_json(const FoundDevice& device, size_t index, bool is_default) {
    const DeviceCaps& caps = device.caps;
    nlohmann::ordered_json json;
    json["index"] = index;
    json["default"] = is_default;
    json["name"] = caps.name;
    json["kind"] = type_name(caps.type);
    json["is_cpu"] = caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    json["driver"] = caps.driver_name;
    json["driver_info"] = caps.driver_info;
    json["api_version"] = version_string(caps.api_version);
    json["vendor_id"] = caps.vendor_id;
    json["device_id"] = caps.device_id;
    json["memory_bytes"] = local_memory(caps, &MemoryHeapCaps::size);
    json["memory_budget_bytes"] = local_memory(caps, &MemoryHeapCaps::budget);
    json["unified_memory"] = caps.unified_memory();
    json["max_allocation_bytes"] = caps.max_allocation_size;
    json["max_workgroup_invocations"] = caps.max_workgroup_invocations;
    json["max_shared_memory_bytes"] = caps.max_shared_memory;
    json["subgroup_size"] = caps.subgroup_size;
    json["float16"] = caps.float16;
    json["int8"] = caps.int8;
    json["storage_8bit"] = caps.storage_8bit;
    json["storage_16bit"] = caps.storage_16bit;
    json["integer_dot_accelerated"] = caps.integer_dot_accelerated;
    json["usable"] = device.plan.has_value();
    if (device.plan) {
        json["kernels"] = path_names(*device.plan);
    } else {
        json["refusal"] = device.refusal;
    }
    return json;
}

void list_devices(bool as_json) {
    const std::shared_ptr<Instance> instance = Instance::create();
    const std::vector<FoundDevice> devices = find_devices(*instance);
    std::optional<uint32_t> chosen;
    std::string no_choice;
    try {
        chosen = choose_device(*instance, {});
    } catch (const Error& error) {
        no_choice = error.what();
    }
    std::string text;
    nlohmann::ordered_json json = nlohmann::ordered_json::array();
    for (size_t i = 0; i < devices.size(); ++i) {
        text += describe(devices[i], i, i == chosen);
        json.push_back(to_json(devices[i], i, i == chosen));
    }
    text +=
        chosen ? "* is what vkmoe takes unless --device or VKMOE_DEVICE says otherwise\n" : no_choice + "\n";
    StandardOutput().write(as_json ? json_text(json) : text);
}

}  // namespace

void add_devices_command(CLI::App& app) {
    CLI::App* command =
        app.add_subcommand("devices", "Lists the Vulkan devices and how vkmoe would use them");
    const auto as_json = std::make_shared<bool>(false);
    command->add_flag("--json", *as_json, "Everything, for programs");
    command->callback([as_json] { list_devices(*as_json); });
}

}  // namespace vkmoe::cli
