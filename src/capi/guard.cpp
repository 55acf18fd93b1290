#include "capi/guard.h"

#include <exception>
#include <new>
#include <string>

namespace vkmoe::capi {
namespace {

// Text that could not be copied for want of memory is a literal.
struct LastError {
    std::string text;
    const char* literal = "";
};
thread_local LastError last_error;

void keep(const char* text) noexcept {
    try {
        last_error.text = text;
        last_error.literal = nullptr;
    } catch (...) {
        last_error.literal = "out of memory";
    }
}

vkmoe_status status_of(ErrorCode code) {
    switch (code) {
        case ErrorCode::kInvalidArgument:
            return VKMOE_INVALID_ARGUMENT;
        case ErrorCode::kIo:
            return VKMOE_IO;
        case ErrorCode::kBadFile:
            return VKMOE_BAD_FILE;
        case ErrorCode::kUnsupported:
            return VKMOE_UNSUPPORTED;
        case ErrorCode::kOutOfMemory:
            return VKMOE_OUT_OF_MEMORY;
        case ErrorCode::kNoDevice:
            return VKMOE_NO_DEVICE;
        case ErrorCode::kDeviceLost:
            return VKMOE_DEVICE_LOST;
        case ErrorCode::kInternal:
            return VKMOE_INTERNAL;
        case ErrorCode::kCancelled:
            return VKMOE_CANCELLED;
        case ErrorCode::kResourceLimit:
            return VKMOE_RESOURCE_LIMIT;
    }
    return VKMOE_INTERNAL;
}

}  // namespace

vkmoe_status keep_current_exception() noexcept {
    try {
        throw;
    } catch (const Error& error) {
        keep(error.what());
        return status_of(error.code());
    } catch (const std::bad_alloc&) {
        last_error.literal = "out of memory";
        return VKMOE_OUT_OF_MEMORY;
    } catch (const std::exception& error) {
        keep(error.what());
    } catch (...) {
        keep("an unknown exception");
    }
    return VKMOE_INTERNAL;
}

}  // namespace vkmoe::capi

const char* vkmoe_last_error(void) {
    const auto& error = vkmoe::capi::last_error;
    return error.literal != nullptr ? error.literal : error.text.c_str();
}

const char* vkmoe_status_name(vkmoe_status status) {
    // As int, for a caller may give any number.
    switch (static_cast<int>(status)) {
        case VKMOE_OK:
            return "ok";
        case VKMOE_INVALID_ARGUMENT:
            return "invalid argument";
        case VKMOE_IO:
            return "I/O error";
        case VKMOE_BAD_FILE:
            return "bad file";
        case VKMOE_UNSUPPORTED:
            return "unsupported";
        case VKMOE_OUT_OF_MEMORY:
            return "out of memory";
        case VKMOE_NO_DEVICE:
            return "no device";
        case VKMOE_DEVICE_LOST:
            return "device lost";
        case VKMOE_INTERNAL:
            return "internal error";
        case VKMOE_CANCELLED:
            return "cancelled";
        case VKMOE_RESOURCE_LIMIT:
            return "resource limit";
        default:
            return "unknown status";
    }
}

const char* vkmoe_version(void) {
    return VKMOE_VERSION;
}
