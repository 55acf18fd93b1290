#include "cli/build_info.h"

#include "vkmoe/vkmoe.h"

#include <fmt/format.h>

namespace vkmoe::cli {

std::string build_description() {
#if defined(__clang__)
    const std::string compiler =
        fmt::format("Clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#elif defined(__GNUC__)
    const std::string compiler = fmt::format("GCC {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#else
    const std::string compiler = "an unknown compiler";
#endif
#if defined(__OPTIMIZE__)
    constexpr std::string_view kMode = "optimized";
#else
    constexpr std::string_view kMode = "not optimized";
#endif
#if defined(NDEBUG)
    constexpr std::string_view kAssertions = "without assertions";
#else
    constexpr std::string_view kAssertions = "with assertions";
#endif
    return fmt::format("{}, {}, {}", compiler, kMode, kAssertions);
}

std::string version_line() {
    const std::string_view commit = build_commit();
    return fmt::format("vkmoe {} ({}{})", vkmoe_version(), commit.empty() ? "commit unknown" : "commit ",
                       commit);
}

}  // namespace vkmoe::cli
