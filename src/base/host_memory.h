#pragma once

#include <cstdint>

namespace vkmoe {

/// Bytes of memory that the machine has, or that the control group of this process may take, where that is
/// less.
uint64_t total_host_memory();

/// Bytes of them that may be taken without pushing anybody else's out.
uint64_t available_host_memory();

/// Bytes of them that this process holds now, mapped files included.
uint64_t process_memory();

}  // namespace vkmoe
