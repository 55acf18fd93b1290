#include "base/log.h"

#include "base/standard_streams.h"

#include <spdlog/details/os.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>

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

std::string_view color_of(spdlog::level::level_enum level) {
    switch (level) {
        case spdlog::level::err:
            return "\x1b[31m\x1b[1m";
        case spdlog::level::warn:
            return "\x1b[33m\x1b[1m";
        case spdlog::level::info:
            return "\x1b[32m";
        default:
            return "\x1b[36m";
    }
}

/// spdlog's own sinks know nothing of a status line, nor of a descriptor 2 that is some other file.
class StandardErrorSink : public spdlog::sinks::base_sink<std::mutex> {
  protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
        spdlog::memory_buf_t formatted;
        formatter_->format(message, formatted);
        std::string line(formatted.data(), formatted.size());
        if (is_colored_ && message.color_range_end > message.color_range_start) {
            line.insert(message.color_range_end, "\x1b[m");
            line.insert(message.color_range_start, color_of(message.level));
        }
        write_standard_error(line);
    }
    void flush_() override {}

  private:
    bool is_colored_ = spdlog::details::os::in_terminal(stderr) && spdlog::details::os::is_color_terminal();
};

struct Log {
    spdlog::logger logger{"vkmoe", std::make_shared<StandardErrorSink>()};
    std::atomic<LogLevel> level = LogLevel::kWarn;

    Log() {
        logger.set_level(spdlog::level::trace);  // `level` decides
        logger.set_error_handler([](const std::string&) {});
        logger.set_pattern("vkmoe: %^%l%$: %v");
        const char* wanted = std::getenv("VKMOE_LOG");
        if (wanted == nullptr || *wanted == '\0') return;
        for (size_t i = 0; i < kLevelNames.size(); ++i) {
            if (kLevelNames[i] == wanted) {
                level = static_cast<LogLevel>(i);
                return;
            }
        }
        logger.warn("VKMOE_LOG={} is not a log level; use debug, info, warn, error or off", wanted);
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
