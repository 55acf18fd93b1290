#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace vkmoe {

enum class LogLevel { kDebug, kInfo, kWarn, kError, kOff };

/// Messages below this level are dropped. Until it is called, the environment's VKMOE_LOG (debug, info, warn
/// or error) decides; without that, kWarn.
void set_log_level(LogLevel level);
LogLevel log_level();

/// Writes one line to standard error, whatever the level; see write_standard_error() for when it cannot. Safe
/// from any thread.
void write_log(LogLevel level, std::string_view message);

template <typename... Args>
void log_at(LogLevel level, fmt::format_string<Args...> format, Args&&... args) noexcept {
    try {
        if (log_level() <= level) write_log(level, fmt::format(format, std::forward<Args>(args)...));
    } catch (...) {
        // Memory ran out. An exception would end the process if this is a handler.
    }
}

template <typename... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) noexcept {
    log_at(LogLevel::kDebug, format, std::forward<Args>(args)...);
}

template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) noexcept {
    log_at(LogLevel::kInfo, format, std::forward<Args>(args)...);
}

template <typename... Args>
void log_warn(fmt::format_string<Args...> format, Args&&... args) noexcept {
    log_at(LogLevel::kWarn, format, std::forward<Args>(args)...);
}

template <typename... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) noexcept {
    log_at(LogLevel::kError, format, std::forward<Args>(args)...);
}

}  // namespace vkmoe
