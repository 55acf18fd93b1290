#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace vkmoe {

/// Why something failed. The C API hands the same values out as vkmoe_status.
enum class ErrorCode {
    kInvalidArgument,  ///< the caller asked for something that has no meaning (bad option, index out of
                       ///< range)
    kIo,               ///< a file cannot be opened, read or written
    kBadFile,          ///< a file was read but its contents are broken or contradict themselves
    kUnsupported,      ///< well-formed, but vkmoe or this device cannot do it
    kOutOfMemory,      ///< host or device memory ran out
    kNoDevice,         ///< no Vulkan loader, no driver, or no device that fits
    kDeviceLost,       ///< the device stopped working while it was in use
    kInternal,         ///< our own mistake
    kCancelled,        ///< a callback asked to stop
    kResourceLimit,    ///< the system refuses a thread
};

/// Every failure inside the library. what() is one line: what is wrong, where, and what to do about it.
class Error : public std::runtime_error {
  public:
    Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
    ErrorCode code() const { return code_; }

  private:
    ErrorCode code_;
};

/// Throws an Error with a formatted message.
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
    throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

/// What the system calls an errno: "No such file or directory".
inline std::string system_error_text(int error) {
    return std::generic_category().message(error);
}

}  // namespace vkmoe
