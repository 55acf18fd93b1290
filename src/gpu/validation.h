#pragma once

#include <cstdint>

namespace vkmoe {

enum class Validation { kOff, kCore, kSynchronization };

/// What the environment asks for by VKMOE_VALIDATION: 0, 1 or sync. Error(kInvalidArgument) for anything
/// else.
Validation wanted_validation();

/// Errors that the validation layer has reported in this process; it is loaded when it is wanted,
/// and then its absence is an Error. Each is also printed to stderr behind "validation: ".
uint64_t validation_error_count();

}  // namespace vkmoe
