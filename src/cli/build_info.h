#pragma once

#include <string>
#include <string_view>

namespace vkmoe::cli {

/// The git commit that the program was built from, as "1a2b3c4d5e6f", with "-modified" behind it where
/// tracked files differed; empty where neither git nor the archive told.
std::string_view build_commit();

/// "GCC 12.2.0, optimized, without assertions".
std::string build_description();

/// "vkmoe 0.1.0 (commit 1a2b3c4d5e6f)".
std::string version_line();

}  // namespace vkmoe::cli
