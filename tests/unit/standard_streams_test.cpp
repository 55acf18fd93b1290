// Descriptors 0, 1 and 2 of processes that were started without them.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "base/file_reader.h"
#include "base/input_file.h"
#include "base/log.h"
#include "base/output_file.h"
#include "base/standard_streams.h"
#include "unit/temp_folder.h"

namespace vkmoe {
namespace {

/// Runs `work` in a child process with descriptors 0, 1 and 2 closed. Returns its exit code: 0 where `work`
/// returns true.
int without_streams(const std::function<bool()>& work) {
    const pid_t child = ::fork();
    if (child == 0) {
        for (int descriptor = 0; descriptor <= 2; ++descriptor) ::close(descriptor);
        try {
            ::_exit(work() ? 0 : 1);
        } catch (...) {
            ::_exit(2);
        }
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool all_closed() {
    for (int descriptor = 0; descriptor <= 2; ++descriptor)
        if (::fcntl(descriptor, F_GETFD) >= 0) return false;
    return true;
}

TEST(StandardStreams, NoFileOfTheLibraryGetsTheirNumbers) {
    const TempFolder folder;
    write_file(folder / "in", "some bytes");
    EXPECT_EQ(without_streams([&] {
                  const InputFile file(folder / "in");
                  return all_closed() && file.descriptor() > 2 && read_stream(folder / "in") == "some bytes";
              }),
              0);
    EXPECT_EQ(without_streams([&] {
                  OutputFile file(folder / "out");
                  file.write("new");
                  const bool closed = all_closed();
                  file.commit();
                  OutputFile null("/dev/null");
                  return closed && all_closed();
              }),
              0);
    EXPECT_EQ(read_file(folder / "out"), "new");
}

TEST(StandardStreams, NoReaderOfFilesGetsTheirNumbers) {
    const TempFolder folder;
    write_file(folder / "in", "some bytes");
    for (const bool by_threads : {false, true}) {
        EXPECT_EQ(without_streams([&] {
                      FileReaderOptions options;
                      if (by_threads) options.backend = ReadBackend::kThreads;
                      options.page_cache = PageCache::kPast;
                      FileReader reader(options);
                      std::array<std::byte, 10> bytes{};
                      const FileRead read{reader.add_file(folder / "in"), 0, bytes};
                      reader.wait(reader.submit(std::span(&read, 1)), "");
                      return all_closed() && bytes[9] == std::byte{'s'};
                  }),
                  0)
            << (by_threads ? "threads" : "io_uring, where it can be had");
    }
}

TEST(StandardStreams, AProgramOpensThemToNothing) {
    EXPECT_EQ(without_streams([] {
                  if (!open_standard_streams() || !standard_output_was_closed()) return false;
                  write_standard_error("nowhere");
                  return write_standard_output("nowhere") == 0 && ::open("/dev/null", O_RDONLY) > 2;
              }),
              0);
}

TEST(StandardStreams, TextBeginsOnItsOwnLineWhereBothAreOneFile) {
    const TempFolder folder;
    EXPECT_EQ(without_streams([&] {
                  if (!open_standard_streams()) return false;
                  const int file = ::open((folder / "both").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
                  if (::dup2(file, 1) != 1 || ::dup2(file, 2) != 2) return false;
                  write_standard_output("half a li");
                  print_standard_error("an {}\n", "error");
                  write_standard_output("ne\n");
                  write_standard_error("another\n");
                  return true;
              }),
              0);
    EXPECT_EQ(read_file(folder / "both"), "half a li\nan error\nne\nanother\n");
}

TEST(StandardStreams, TheNextTextReplacesAStatusLine) {
    const TempFolder folder;
    EXPECT_EQ(without_streams([&] {
                  if (!open_standard_streams()) return false;
                  const int file = ::open((folder / "both").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
                  if (::dup2(file, 1) != 1 || ::dup2(file, 2) != 2) return false;
                  show_status_line("[#--]");
                  show_status_line("[##-]");
                  write_standard_error("line\n");
                  show_status_line("[###]");
                  write_standard_output("text\n");
                  erase_status_line();
                  return true;
              }),
              0);
    EXPECT_EQ(read_file(folder / "both"),
              "\r[#--]\x1b[K\r[##-]\x1b[K\r\x1b[Kline\n\r[###]\x1b[K\r\x1b[Ktext\n");
}

TEST(StandardStreams, WritingToStandardErrorNeverFails) {
    EXPECT_EQ(without_streams([] {
                  if (!open_standard_streams()) return false;
                  const int full = ::open("/dev/full", O_WRONLY);
                  if (::dup2(full, 1) != 1 || ::dup2(full, 2) != 2) return false;
                  print_standard_error("{}\n", 1);
                  log_error("{}", 2);
                  show_status_line("[#--]");
                  return write_standard_output("x") == ENOSPC;
              }),
              0);
}

// Run by the next test in a process of its own, which is loaded with descriptor 2 closed.
TEST(StandardStreams, DISABLED_WithoutStandardError) {
    const TempFolder folder;
    const int file = ::open((folder / "data").c_str(), O_WRONLY | O_CREAT, 0666);
    ASSERT_EQ(file, 2);
    log_error("an error");
    print_standard_error("text\n");
    show_status_line("[#--]");
    EXPECT_EQ(read_file(folder / "data"), "");
}

TEST(StandardStreams, NothingIsLoggedIntoAFileThatGotDescriptor2) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(2);
        ::execl("/proc/self/exe", "standard_streams_test", "--gtest_also_run_disabled_tests",
                "--gtest_filter=StandardStreams.DISABLED_WithoutStandardError", nullptr);
        ::_exit(3);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace vkmoe
