#include "base/host_memory.h"

#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/input_file.h"

namespace vkmoe {
namespace {

/// Empty for a file that cannot be read.
std::istringstream text_of(const char* path) {
    try {
        return std::istringstream(read_stream(path));
    } catch (const Error&) {
        return {};
    }
}

/// The number that a file begins with; `otherwise` where there is none, as in "max" for no limit.
uint64_t number_in(const char* path, uint64_t otherwise) {
    std::istringstream file = text_of(path);
    uint64_t number = 0;
    return file >> number ? number : otherwise;
}

/// The number after a key of a file with a key in each line; 0 where it is missing.
uint64_t number_of(const char* path, std::string_view key) {
    std::istringstream file = text_of(path);
    for (std::string name, rest; file >> name; std::getline(file, rest)) {
        uint64_t number = 0;
        if (name == key && file >> number) return number;
    }
    return 0;
}

uint64_t group_limit() {
    return number_in("/sys/fs/cgroup/memory.max", UINT64_MAX);
}

}  // namespace

uint64_t total_host_memory() {
    const auto pages = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES));
    return std::min(pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)), group_limit());
}

uint64_t available_host_memory() {
    const uint64_t available = number_of("/proc/meminfo", "MemAvailable:") << 10;
    const uint64_t limit = group_limit();
    if (limit == UINT64_MAX) return available;
    // Cached files count as used by the group, and give way.
    const char* statistics = "/sys/fs/cgroup/memory.stat";
    const uint64_t cached = number_of(statistics, "active_file") + number_of(statistics, "inactive_file");
    const uint64_t used = number_in("/sys/fs/cgroup/memory.current", 0);
    return std::min(available, limit - std::min(limit, used - std::min(used, cached)));
}

uint64_t process_memory() {
    return number_of("/proc/self/status", "VmRSS:") << 10;
}

}  // namespace vkmoe
