#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace vkmoe {

// Tests of random cases have a short form, which ctest runs, and a long one, which `tests/run.sh --long` runs
// with VKMOE_LONG_SECONDS set. CMake's LONG_SECONDS registers the long one.

/// Seconds that a test of random cases goes on: the variable's, else VKMOE_LONG_SECONDS', else the short
/// form's.
inline double test_seconds(const char* variable, double short_form) {
    for (const char* name : {variable, "VKMOE_LONG_SECONDS"}) {
        const char* text = std::getenv(name);
        if (text == nullptr) continue;
        char* end = nullptr;
        const double seconds = std::strtod(text, &end);
        if (end == text || *end != '\0' || !(seconds >= 0))
            throw std::invalid_argument(std::string(name) + " is not a number of seconds: " + text);
        return seconds;
    }
    return short_form;
}

/// Whether tests whose cases are counted run all of them.
inline bool is_long_form() {
    return std::getenv("VKMOE_LONG_SECONDS") != nullptr;
}

}  // namespace vkmoe
