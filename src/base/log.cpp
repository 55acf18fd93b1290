#include "base/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>

namespace vkmoe {
namespace {

constexpr std::array<std::string_view, 5> kLevelNames = {"debug", "info", "warn", "error", "off"};

spdlog::level::level_enum spdlog_level(LogLevel level) {
    switch (level) {
        case LogLevel::kDebug:
            return spdlog::level::debug;
        case LogLevel::kInfo:
            return spdlog::level::info;
        case LogLevel::kWarn:
            return spdlog::level::warn;
        case LogLevel::kError:
            return spdlog::level::err;
        case LogLevel::kOff:
            return spdlog::level::off;
    }
    return spdlog::level::off;
}

struct Log {
    spdlog::logger logger{"vkmoe", std::make_shared<spdlog::sinks::stderr_color_sink_mt>()};
    std::atomic<LogLevel> level = LogLevel::kWarn;

    Log() {
        logger.set_level(spdlog::level::trace);  // `level` decides
        logger.flush_on(spdlog::level::trace);
        logger.set_pattern("vkmoe: %^%l%$: %v");
        const char* wanted = std::getenv("VKMOE_LOG");
        if (wanted == nullptr || *wanted == '\0') return;
        for (size_t i = 0; i < kLevelNames.size(); ++i) {
            if (kLevelNames[i] == wanted) {
                level = static_cast<LogLevel>(i);
                return;
            }
        }
        logger.warn("VKMOE_LOG={} is not known; use debug, info, warn, error or off", wanted);
    }
};

Log& the_log() {
    static Log log;
    return log;
}

}  // namespace

void set_log_level(LogLevel level) {
    the_log().level = level;
}

LogLevel log_level() {
    return the_log().level.load(std::memory_order_relaxed);
}

void write_log(LogLevel level, std::string_view message) {
    the_log().logger.log(spdlog_level(level), spdlog::string_view_t(message.data(), message.size()));
}

}  // namespace vkmoe
