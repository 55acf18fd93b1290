#pragma once

#include <cstdint>

namespace vkmoe {

/// Errors that the validation layer has reported in this process; it is loaded when VKMOE_VALIDATION=1 is
/// set, and then its absence is an Error. Each is also printed to stderr behind "validation: ".
uint64_t validation_error_count();

}  // namespace vkmoe
