#include "base/error.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/device_report.h"
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

/// "8.00 GiB, 7.50 GiB free for vkmoe; not used: heap 2 of 256.00 MiB"
std::string describe_memory(const DeviceCaps& caps) {
    const HeapPlan heaps = plan_heaps(caps);
    const HeapTotals totals = device_heap_totals(caps, heaps);
    std::string text = fmt::format("{}, {} free for vkmoe{}", human_bytes(totals.size),
                                   human_bytes(totals.budget), heaps.unified ? ", shared with the host" : "");
    for (const uint32_t heap : heaps.unused)
        text += fmt::format("; not used: heap {} of {}", heap, human_bytes(caps.heaps[heap].size));
    return text;
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

std::string describe(const FoundDevice& device, size_t index, bool is_default) {
    const DeviceCaps& caps = device.caps;
    std::string text = fmt::format("{} {}  {}\n", is_default ? '*' : ' ', index, caps.name);
    const auto line = [&text](std::string_view name, const std::string& value) {
        text += fmt::format("     {:<9} {}\n", name, value);
    };
    line("kind", std::string(type_name(caps.type)));
    line("driver", fmt::format("{} {}, Vulkan {}", caps.driver_name, caps.driver_info,
                               version_string(caps.api_version)));
    line("memory", describe_memory(caps));
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
    const HeapPlan heaps = plan_heaps(caps);
    const HeapTotals totals = device_heap_totals(caps, heaps);
    json["memory_bytes"] = totals.size;
    json["memory_budget_bytes"] = totals.budget;
    json["unified_memory"] = heaps.unified;
    json["heaps"] = nlohmann::ordered_json::array();
    for (uint32_t i = 0; i < caps.heaps.size(); ++i) {
        json["heaps"].push_back({{"bytes", caps.heaps[i].size},
                                 {"budget_bytes", caps.heaps[i].budget},
                                 {"device_local", caps.heaps[i].device_local},
                                 {"used", heaps.uses(i)}});
    }
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

enum class Form { kList, kJson, kReport };

void list_devices(Form form) {
    const std::shared_ptr<Instance> instance = Instance::create();
    const std::vector<FoundDevice> devices = find_devices(*instance);
    std::optional<uint32_t> chosen;
    std::string no_choice;
    try {
        chosen = choose_device(*instance, {});
    } catch (const Error& error) {
        no_choice = error.what();
    }
    if (form == Form::kReport) {
        StandardOutput().write(device_report(devices, chosen, no_choice));
        return;
    }
    std::string text;
    nlohmann::ordered_json json = nlohmann::ordered_json::array();
    for (size_t i = 0; i < devices.size(); ++i) {
        text += describe(devices[i], i, i == chosen);
        json.push_back(to_json(devices[i], i, i == chosen));
    }
    text += chosen ? "* is the device that vkmoe uses unless --device or VKMOE_DEVICE chooses another\n"
                   : no_choice + "\n";
    StandardOutput().write(form == Form::kJson ? json_text(json) : text);
}

}  // namespace

void add_devices_command(CLI::App& app) {
    CLI::App* command = app.add_subcommand("devices", "List the Vulkan devices and how vkmoe would use them");
    const auto as_json = std::make_shared<bool>(false);
    const auto as_report = std::make_shared<bool>(false);
    CLI::Option* json = command->add_flag("--json", *as_json, "Print everything as JSON");
    command
        ->add_flag(
            "--report", *as_report,
            "Print everything that a bug report needs: versions of vkmoe, compiler, system and drivers, and "
            "limits and features of each device")
        ->excludes(json);
    command->callback([as_json, as_report] {
        list_devices(*as_report ? Form::kReport : *as_json ? Form::kJson : Form::kList);
    });
}

}  // namespace vkmoe::cli
