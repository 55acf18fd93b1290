#pragma once

#include <cstdint>
#include <string>

namespace vkmoe {

/// "1.75 GiB", "12.00 KiB", "831 bytes": three digits or more, in the largest unit that leaves a whole
/// number.
std::string human_bytes(uint64_t bytes);

/// Whole MiB, rounded up, for the least size that an option takes: it works when it is given back.
uint64_t mib_rounded_up(uint64_t bytes);

}  // namespace vkmoe
