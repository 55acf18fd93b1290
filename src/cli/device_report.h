#pragma once

#include "gpu/caps.h"
#include "gpu/plan.h"

#include <optional>
#include <string>
#include <vector>

namespace vkmoe::cli {

/// A device, and what vkmoe would use of it.
struct FoundDevice {
    DeviceCaps caps;
    std::optional<DevicePlan> plan;
    std::string refusal;  ///< why there is no plan
};

/// "discrete GPU"
std::string_view type_name(VkPhysicalDeviceType type);
/// "1.3.296"
std::string version_string(uint32_t version);
std::vector<std::string> path_names(const DevicePlan& plan);

/// The part of a bug report that the program can write: vkmoe's build, the system, and everything known of
/// each device. chosen: index of the device that vkmoe uses by default; no_choice: why there is none.
std::string device_report(const std::vector<FoundDevice>& devices, std::optional<uint32_t> chosen,
                          const std::string& no_choice);

}  // namespace vkmoe::cli
