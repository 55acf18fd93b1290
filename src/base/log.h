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

/// Writes one line to stderr, whatever the level. Safe from any thread.
void write_log(LogLevel level, std::string_view message);

template <typename... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
    if (log_level() <= LogLevel::kDebug)
        write_log(LogLevel::kDebug, fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
    if (log_level() <= LogLevel::kInfo)
        write_log(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
void log_warn(fmt::format_string<Args...> format, Args&&... args) {
    if (log_level() <= LogLevel::kWarn)
        write_log(LogLevel::kWarn, fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
    if (log_level() <= LogLevel::kError)
        write_log(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace vkmoe
