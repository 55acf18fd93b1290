#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace vkmoe {

/// The index of the device that `wish` chooses among these names. A number that is an index chooses by index.
/// Otherwise the words of the wish must follow each other in exactly one name, case ignored: "3060" and
/// "rtx 3060" choose "NVIDIA GeForce RTX 3060", and "60" does not. A wish that is a whole name chooses that
/// device, even where it begins another name ("RTX 3060" and "RTX 3060 Ti"). Throws Error(kNoDevice) that
/// lists the devices, or those that match where several do.
uint32_t find_device(std::span<const std::string> names, std::string_view wish);

}  // namespace vkmoe
