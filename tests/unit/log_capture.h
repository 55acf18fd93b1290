#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace vkmoe {

/// Takes what is written to stderr, warnings above all, until it is read.
class LogCapture {
  public:
    LogCapture() { testing::internal::CaptureStderr(); }
    ~LogCapture() {
        if (!taken_) testing::internal::GetCapturedStderr();
    }
    LogCapture(const LogCapture&) = delete;
    LogCapture& operator=(const LogCapture&) = delete;

    std::string take() {
        taken_ = true;
        return testing::internal::GetCapturedStderr();
    }

  private:
    bool taken_ = false;
};

inline size_t count(std::string_view text, std::string_view part) {
    size_t n = 0;
    for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++n;
    return n;
}

}  // namespace vkmoe
