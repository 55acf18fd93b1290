// The memory that control groups leave a process, on invented trees of /proc and /sys.

#include "base/host_memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "unit/temp_folder.h"

namespace vkmoe {
namespace {

constexpr uint64_t kMiB = 1 << 20;
const char* const kUnlimited1 = "9223372036854771712\n";

class GroupMemoryTest : public testing::Test {
  protected:
    void write(const std::string& path, const std::string& text) {
        const std::filesystem::path file(folder_ / path);
        std::filesystem::create_directories(file.parent_path());
        write_file(file.string(), text);
    }
    /// A group of version 2.
    void group2(const std::string& folder, const std::string& max, uint64_t used, uint64_t cached = 0) {
        write(folder + "/memory.max", max);
        write(folder + "/memory.current", std::to_string(used) + "\n");
        write(folder + "/memory.stat", "anon 1\nactive_file " + std::to_string(cached / 2) +
                                           "\ninactive_file " + std::to_string(cached - cached / 2) + "\n");
    }
    /// A group of version 1.
    void group1(const std::string& folder, const std::string& limit, uint64_t used, uint64_t cached = 0) {
        write(folder + "/memory.limit_in_bytes", limit);
        write(folder + "/memory.usage_in_bytes", std::to_string(used) + "\n");
        write(folder + "/memory.stat", "active_file 7\ninactive_file 7\ntotal_inactive_file " +
                                           std::to_string(cached) + "\ntotal_active_file 0\n");
    }
    void expect(uint64_t limit, uint64_t available) const {
        const GroupMemory memory = group_memory(folder_ / "");
        EXPECT_EQ(memory.limit, limit);
        EXPECT_EQ(memory.available, available);
    }

    const TempFolder folder_;
    const std::string kMount2 =
        "25 20 0:22 / /proc rw - proc proc rw\n"
        "30 22 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
};

TEST_F(GroupMemoryTest, WithoutGroupsThereIsNoLimit) {
    expect(UINT64_MAX, UINT64_MAX);
    write("proc/self/cgroup", "0::/\n");
    write("proc/self/mountinfo", kMount2);
    expect(UINT64_MAX, UINT64_MAX);
    group2("sys/fs/cgroup", "max\n", 5 * kMiB);
    expect(UINT64_MAX, UINT64_MAX);
}

TEST_F(GroupMemoryTest, TheLeastOfAllGroupsAboveCounts) {
    write("proc/self/cgroup", "0::/user.slice/shell.scope/job\n");
    write("proc/self/mountinfo", kMount2);
    group2("sys/fs/cgroup/user.slice", std::to_string(512 * kMiB), 500 * kMiB, 100 * kMiB);
    group2("sys/fs/cgroup/user.slice/shell.scope", "max\n", 80 * kMiB);
    group2("sys/fs/cgroup/user.slice/shell.scope/job", std::to_string(256 * kMiB), 20 * kMiB);
    group2("sys/fs/cgroup/user.slice/other", std::to_string(kMiB), kMiB);
    expect(256 * kMiB, 112 * kMiB);  // more of the outer limit is used up
    group2("sys/fs/cgroup/user.slice/shell.scope/job", "max\n", 20 * kMiB);
    expect(512 * kMiB, 112 * kMiB);
    write("sys/fs/cgroup/user.slice/shell.scope/memory.high", std::to_string(90 * kMiB));
    expect(90 * kMiB, 10 * kMiB);
}

TEST_F(GroupMemoryTest, AContainerSeesItsGroupAtTheMountPoint) {
    write("proc/self/mountinfo", "30 22 0:27 /docker/1f /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    group2("sys/fs/cgroup", std::to_string(64 * kMiB), 4 * kMiB);
    group2("sys/fs/cgroup/inner", std::to_string(32 * kMiB), 30 * kMiB);
    for (const char* group : {"0::/docker/1f\n", "0::/\n", "0::/../../elsewhere\n", "0::/docker/1f0\n"}) {
        SCOPED_TRACE(group);
        write("proc/self/cgroup", group);
        expect(64 * kMiB, 60 * kMiB);
    }
    write("proc/self/cgroup", "0::/docker/1f/inner\n");
    expect(32 * kMiB, 2 * kMiB);
}

TEST_F(GroupMemoryTest, Version1HasOtherFiles) {
    write("proc/self/cgroup", "5:cpuset:/x\n4:cpu,memory:/batch/job 7\n0::/x\n");
    write("proc/self/mountinfo",
          "33 30 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
          "34 30 0:31 / /sys/fs/cgroup/cpu\\040and\\040memory rw,relatime - cgroup cgroup rw,cpu,memory\n"
          "40 30 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    const std::string memory = "sys/fs/cgroup/cpu and memory";
    group1(memory, kUnlimited1, 900 * kMiB);
    group1(memory + "/batch", std::to_string(128 * kMiB), 100 * kMiB, 10 * kMiB);
    group1(memory + "/batch/job 7", kUnlimited1, 50 * kMiB);
    // The other hierarchies have groups of these names too, without a memory controller.
    write("sys/fs/cgroup/unified/x/cgroup.procs", "1\n");
    write("sys/fs/cgroup/cpuset/x/cpuset.cpus", "0-1\n");
    expect(128 * kMiB, 38 * kMiB);
    group1(memory + "/batch/job 7", std::to_string(40 * kMiB), 50 * kMiB);
    expect(40 * kMiB, 0);
}

TEST_F(GroupMemoryTest, ThisSystemsFiguresFitOneAnother) {
    EXPECT_LE(available_host_memory(), total_host_memory());
    EXPECT_LE(total_host_memory(), group_memory().limit);
    EXPECT_GT(process_memory(), 0u);
}

}  // namespace
}  // namespace vkmoe
