#pragma once

#include <ctime>

namespace vkmoe {

/// CPU time, so that other work on the machine does not fail a test.
inline double cpu_seconds() {
    return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

/// What a text of a megabyte may take: far above what linear work needs, far below what quadratic work does.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
constexpr double kSecondsLimit = 20.0;
#else
constexpr double kSecondsLimit = 2.0;
#endif

}  // namespace vkmoe
