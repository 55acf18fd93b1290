#pragma once

#include <cstdint>
#include <string>

namespace vkmoe {

/// Bytes of memory that the machine has, or that the control groups of this process may take, where that is
/// less.
uint64_t total_host_memory();

/// Bytes of them that may be taken without pushing anybody else's out.
uint64_t available_host_memory();

/// Bytes of them that this process holds now, mapped files included.
uint64_t process_memory();

/// The memory that the control groups of this process leave it; UINT64_MAX: no limit.
struct GroupMemory {
    uint64_t limit = UINT64_MAX;      ///< the least of the process's group and all groups above it
    uint64_t available = UINT64_MAX;  ///< the least that one of them has left; cached files count as left
};

/// Reads the control groups of version 2, of version 1, and of systems that mount both. root: a folder that
/// holds the system's /proc and /sys, for tests.
GroupMemory group_memory(const std::string& root = "");

}  // namespace vkmoe
