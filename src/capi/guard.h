#pragma once

#include "base/error.h"
#include "vkmoe/vkmoe.h"

namespace vkmoe::capi {

/// Keeps the message of the exception that is being handled for vkmoe_last_error and returns the status that
/// fits it.
vkmoe_status keep_current_exception() noexcept;

/// Runs the body of an API function: no exception leaves it.
template <typename Body>
vkmoe_status guard(Body&& body) noexcept {
    try {
        body();
        return VKMOE_OK;
    } catch (...) {
        return keep_current_exception();
    }
}

/// Throws kInvalidArgument when an argument that must be there is NULL.
inline void require(const void* pointer, const char* name) {
    if (pointer == nullptr) fail(ErrorCode::kInvalidArgument, "{} is NULL", name);
}

}  // namespace vkmoe::capi
