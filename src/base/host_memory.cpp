#include "base/host_memory.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/input_file.h"

namespace vkmoe {
namespace {

/// Empty for a file that cannot be read.
std::istringstream text_of(const std::string& path) {
    try {
        return std::istringstream(read_stream(path));
    } catch (const Error&) {
        return {};
    }
}

/// The number that a file begins with; `otherwise` where there is none, as in "max" for no limit.
uint64_t number_in(const std::string& path, uint64_t otherwise) {
    std::istringstream file = text_of(path);
    uint64_t number = 0;
    return file >> number ? number : otherwise;
}

/// The number after a key of a file with a key in each line; 0 where it is missing.
uint64_t number_of(const std::string& path, std::string_view key) {
    std::istringstream file = text_of(path);
    for (std::string name, rest; file >> name; std::getline(file, rest)) {
        uint64_t number = 0;
        if (name == key && file >> number) return number;
    }
    return 0;
}

/// The files of a memory controller, which differ between the two versions of control groups.
struct Controller {
    std::vector<const char*> limits;
    const char* used;
    /// Keys of memory.stat. Version 1 counts the groups below only in its totals.
    std::vector<const char*> cached;
};
const Controller kVersion1 = {
    {"memory.limit_in_bytes"}, "memory.usage_in_bytes", {"total_active_file", "total_inactive_file"}};
// Beyond memory.high a group is not killed, but slowed down until it takes less.
const Controller kVersion2 = {
    {"memory.max", "memory.high"}, "memory.current", {"active_file", "inactive_file"}};

/// Where a hierarchy of control groups is mounted.
struct Mount {
    bool is_version_2 = false;
    std::string group;   // that the mount point shows
    std::string folder;  // the mount point
};

/// In mountinfo a space is \040.
std::string unescape(std::string_view text) {
    std::string plain;
    for (size_t i = 0; i < text.size(); ++i) {
        const bool is_escape = text[i] == '\\' && i + 3 < text.size() &&
                               text.substr(i + 1, 3).find_first_not_of("01234567") == std::string_view::npos;
        if (!is_escape) {
            plain += text[i];
            continue;
        }
        plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
        i += 3;
    }
    return plain;
}

bool has_word(std::string_view list, std::string_view word) {
    while (true) {
        const size_t end = list.find(',');
        if (list.substr(0, end) == word) return true;
        if (end == std::string_view::npos) return false;
        list.remove_prefix(end + 1);
    }
}

/// The mounts that can have a memory controller.
std::vector<Mount> memory_mounts(const std::string& root) {
    std::vector<Mount> mounts;
    std::istringstream file = text_of(root + "/proc/self/mountinfo");
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string word, group, folder, type, source, options;
        words >> word >> word >> word >> group >> folder;
        while (words >> word && word != "-") {
        }
        words >> type >> source >> options;
        const bool is_version_2 = type == "cgroup2";
        if (is_version_2 || (type == "cgroup" && has_word(options, "memory")))
            mounts.push_back({is_version_2, unescape(group), root + unescape(folder)});
    }
    return mounts;
}

/// The process's group in one of the two versions.
std::optional<std::string> own_group(const std::string& root, bool version_2) {
    std::istringstream file = text_of(root + "/proc/self/cgroup");
    for (std::string line; std::getline(file, line);) {
        const size_t first = line.find(':');
        const size_t second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string_view controllers = std::string_view(line).substr(first + 1, second - first - 1);
        if (version_2 ? controllers.empty() : has_word(controllers, "memory")) return line.substr(second + 1);
    }
    return std::nullopt;
}

/// The process's group below the mount point: "", or "/a/b". A container may see its group as the system
/// names it, though the mount shows nothing above that group.
std::string path_below(const Mount& mount, const std::string& group) {
    if (mount.group == "/") return group == "/" ? "" : group;
    const bool is_inside = group.starts_with(mount.group) &&
                           (group.size() == mount.group.size() || group[mount.group.size()] == '/');
    return is_inside ? group.substr(mount.group.size()) : "";
}

void narrow(GroupMemory& memory, const std::string& folder, const Controller& controller) {
    uint64_t limit = UINT64_MAX;
    for (const char* name : controller.limits)
        limit = std::min(limit, number_in(folder + "/" + name, UINT64_MAX));
    // Version 1 writes no limit as the largest number of whole pages.
    constexpr uint64_t kNoLimit = uint64_t{1} << 62;
    if (limit >= kNoLimit) return;
    uint64_t cached = 0;
    for (const char* key : controller.cached) cached += number_of(folder + "/memory.stat", key);
    uint64_t used = number_in(folder + "/" + controller.used, 0);
    used -= std::min(used, cached);
    memory.limit = std::min(memory.limit, limit);
    memory.available = std::min(memory.available, limit - std::min(limit, used));
}

}  // namespace

GroupMemory group_memory(const std::string& root) {
    GroupMemory memory;
    for (const Mount& mount : memory_mounts(root)) {
        const std::optional<std::string> group = own_group(root, mount.is_version_2);
        if (!group) continue;
        std::string below = path_below(mount, *group);
        // A group above the namespace that the process sees.
        if (below.starts_with("/..")) below.clear();
        while (true) {
            narrow(memory, mount.folder + below, mount.is_version_2 ? kVersion2 : kVersion1);
            if (below.empty()) break;
            below.resize(below.rfind('/'));
        }
    }
    return memory;
}

uint64_t total_host_memory() {
    const auto pages = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES));
    return std::min(pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)), group_memory().limit);
}

uint64_t available_host_memory() {
    return std::min(number_of("/proc/meminfo", "MemAvailable:") << 10, group_memory().available);
}

uint64_t process_memory() {
    return number_of("/proc/self/status", "VmRSS:") << 10;
}

}  // namespace vkmoe
