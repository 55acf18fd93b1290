// The child is this program again, with a filter for one of the tests that are disabled.

#include "base/child_process.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "unit/error_matching.h"

namespace vkmoe {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kLong(20'000);

std::vector<std::string> command(const std::string& test) {
    return {"child_process_test", "--gtest_also_run_disabled_tests", "--gtest_filter=Child.DISABLED_" + test};
}

/// All that comes until the end of the stream.
std::string read_all(LineReader& reader, int descriptor) {
    std::string text;
    for (;;) {
        pollfd wanted{descriptor, POLLIN, 0};
        ::poll(&wanted, 1, static_cast<int>(kLong.count()));
        const LineReader::Read read = reader.read_some();
        text += reader.take_rest();
        if (read != LineReader::Read::kBytes) return text;
    }
}

TEST(Child, DISABLED_Answers) {
    const int socket = adopt_parent_socket();
    LineReader reader(socket);
    while (const std::optional<std::string> line = receive_line(reader)) send_line(socket, "heard " + *line);
}

TEST(Child, DISABLED_Crashes) {
    std::fputs("on standard error\n", stderr);
    std::fputs("on standard output\n", stdout);
    std::fflush(nullptr);
    std::raise(SIGSEGV);
}

TEST(Child, DISABLED_Leaves) {
    std::_Exit(3);
}

TEST(Child, DISABLED_Waits) {
    std::raise(SIGINT);
    for (;;) ::pause();
}

TEST(ChildProcess, AnswersUntilItsRequestsEnd) {
    ChildProcess child(command("Answers"));
    child.send("one");
    child.send("two");
    child.end_requests();
    EXPECT_EQ(read_all(child.messages(), child.socket()), "heard one\nheard two\n");
    ASSERT_TRUE(child.wait(kLong));
    EXPECT_TRUE(child.succeeded()) << child.end_text();
}

TEST(ChildProcess, TellsHowItEnded) {
    ChildProcess crashes(command("Crashes"));
    const std::string printed = read_all(crashes.printed(), crashes.output());
    EXPECT_NE(printed.find("on standard error\n"), std::string::npos) << printed;
    EXPECT_NE(printed.find("on standard output\n"), std::string::npos) << printed;
    ASSERT_TRUE(crashes.wait(kLong));
    EXPECT_FALSE(crashes.succeeded());
    EXPECT_EQ(crashes.end_text(), "was ended by SIGSEGV (Segmentation fault)");

    ChildProcess leaves(command("Leaves"));
    ASSERT_TRUE(leaves.wait(kLong));
    EXPECT_EQ(leaves.end_text(), "ended with exit code 3");
}

TEST(ChildProcess, ANewLineToOneThatHasEndedIsDropped) {
    ChildProcess child(command("Leaves"));
    ASSERT_TRUE(child.wait(kLong));
    child.send("one");
    EXPECT_EQ(read_all(child.messages(), child.socket()), "");
}

TEST(ChildProcess, OutlivesControlCButNotItsEndByTheParent) {
    ChildProcess child(command("Waits"));
    EXPECT_FALSE(child.wait(milliseconds(500)));
    EXPECT_TRUE(child.kill());
    EXPECT_NE(child.end_text().find("SIGKILL"), std::string::npos) << child.end_text();
}

TEST(ChildProcess, WhatTheSystemRefusesIsAnError) {
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    rlimit none = before;
    none.rlim_cur = STDERR_FILENO + 1;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    expect_error(ErrorCode::kResourceLimit, {"process", "ulimit"},
                 [] { ChildProcess child(command("Leaves")); });
    ::setrlimit(RLIMIT_NOFILE, &before);
}

TEST(ChildProcess, OnlyAChildHasAParentSocket) {
    expect_error(ErrorCode::kInvalidArgument, {"vkmoe"}, [] { adopt_parent_socket(); });
}

}  // namespace
}  // namespace vkmoe
