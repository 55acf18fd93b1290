#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/input_file.h"
#include "base/log.h"
#include "base/output_file.h"
#include "base/thread_pool.h"
#include "base/units.h"
#include "unit/error_matching.h"
#include "unit/temp_folder.h"

namespace vkmoe {
namespace {

std::string text_of(const std::vector<std::byte>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(InputFile, GivesTheBytesFromWhereTheyAreWanted) {
    const TempFolder folder;
    write_file(folder / "a", "some bytes");
    const InputFile file(folder / "a");
    EXPECT_EQ(file.path(), folder / "a");
    EXPECT_EQ(file.size(), 10U);
    std::vector<std::byte> part(5);
    file.read(5, part);
    EXPECT_EQ(text_of(part), "bytes");
    EXPECT_EQ(text_of(read_whole_file(folder / "a")), "some bytes");
}

TEST(InputFile, EmptyFileHasNoBytes) {
    const TempFolder folder;
    write_file(folder / "empty", "");
    EXPECT_TRUE(read_whole_file(folder / "empty").empty());
}

TEST(InputFile, ErrorsNameTheFile) {
    const TempFolder folder;
    const std::string missing = folder / "missing";
    expect_error(ErrorCode::kIo, {missing, "No such file"}, [&] { const InputFile file(missing); });
    expect_error(ErrorCode::kIo, {folder / "", "folder"}, [&] { const InputFile file(folder / ""); });
    const std::string pipe = folder / "pipe";
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    expect_error(ErrorCode::kIo, {pipe, "a pipe"}, [&] { const InputFile file(pipe); });
    expect_error(ErrorCode::kIo, {"/dev/zero", "a device"}, [] { const InputFile file("/dev/zero"); });
}

TEST(InputFile, SaysWhyAPathLeadsNowhere) {
    const TempFolder folder;
    const auto refuses = [&](const std::string& path, std::initializer_list<std::string_view> parts) {
        expect_error(ErrorCode::kIo, parts, [&] { const InputFile file(path); });
    };
    std::filesystem::create_symlink("b", folder / "a");
    std::filesystem::create_symlink("a", folder / "b");
    refuses(folder / "a", {"Too many levels of symbolic links", "form a loop"});
    std::filesystem::create_symlink("../blobs/0123", folder / "model.gguf");
    refuses(folder / "model.gguf", {"No such file", "link to '../blobs/0123', which is missing"});
    write_file(folder / "file", "");
    refuses(folder / "file/model.gguf", {"Not a directory", "a file, not a folder"});
    refuses(folder / std::string(300, 'x'), {"File name too long"});
    // root may open everything.
    EXPECT_NE(open_failure("/root/x", EACCES).find("permissions of the file and of its parent folders"),
              std::string::npos);
}

TEST(Units, SmallSizesAreNotZero) {
    EXPECT_EQ(human_bytes(0), "0 bytes");
    EXPECT_EQ(human_bytes(1), "1 byte");
    EXPECT_EQ(human_bytes(1023), "1023 bytes");
    EXPECT_EQ(human_bytes(1024), "1.00 KiB");
    EXPECT_EQ(human_bytes(700 << 10), "700.00 KiB");
    EXPECT_EQ(human_bytes((1 << 20) - 1), "1.00 MiB") << "not 1024.00 KiB";
    EXPECT_EQ(human_bytes(1 << 20), "1.00 MiB");
    EXPECT_EQ(human_bytes(3ULL << 29), "1.50 GiB");
    EXPECT_EQ(human_bytes(UINT64_MAX), "16777216.00 TiB");
}

TEST(Units, TheLeastIsRoundedUp) {
    EXPECT_EQ(mib_rounded_up(0), 0U);
    EXPECT_EQ(mib_rounded_up(1), 1U);
    EXPECT_EQ(mib_rounded_up(1 << 20), 1U);
    EXPECT_EQ(mib_rounded_up((1 << 20) + 1), 2U);
    EXPECT_EQ(mib_rounded_up(UINT64_MAX), 1ULL << 44);
}

TEST(InputFile, AFileThatWasCutShortIsAnErrorThatSaysWhere) {
    const TempFolder folder;
    write_file(folder / "a", "some bytes");
    const InputFile file(folder / "a");
    std::filesystem::resize_file(folder / "a", 7);
    std::vector<std::byte> part(6);
    expect_error(ErrorCode::kIo, {folder / "a", "6 bytes", "offset 4", "ends at 7", "cut short"},
                 [&] { file.read(4, part); });
    file.read(1, part);
    EXPECT_EQ(text_of(part), "ome by");
}

TEST(ThreadPool, CallsEveryIndexOnce) {
    for (const size_t n_threads : {1, 2, 5}) {
        ThreadPool pool(n_threads);
        EXPECT_EQ(pool.size(), n_threads);
        for (const size_t count : {0, 1, 2, 1000}) {
            std::vector<std::atomic<int>> calls(count);
            pool.parallel_for(count, [&calls](size_t i) { ++calls[i]; });
            EXPECT_TRUE(std::ranges::all_of(calls, [](const auto& n) { return n == 1; }));
        }
    }
}

TEST(ThreadPool, WorksOnSeveralThreads) {
    ThreadPool pool(2);
    std::atomic<int> inside = 0;
    // Neither call can end before the other has begun.
    pool.parallel_for(2, [&inside](size_t) {
        ++inside;
        while (inside < 2) std::this_thread::yield();
    });
    EXPECT_EQ(inside, 2);
}

TEST(ThreadPool, ThrowsTheFirstExceptionAndGoesOnWorking) {
    ThreadPool pool(3);
    std::atomic<size_t> calls = 0;
    const auto one_fails = [&calls](size_t i) {
        ++calls;
        if (i == 10) throw std::runtime_error("ten");
    };
    constexpr size_t kMany = 100'000'000;
    EXPECT_THROW(pool.parallel_for(kMany, one_fails), std::runtime_error);
    EXPECT_LT(calls, kMany);
    calls = 0;
    pool.parallel_for(10, one_fails);
    EXPECT_EQ(calls, 10u);
}

TEST(ThreadPool, MayBeCalledFromInsideAndFromSeveralThreads) {
    ThreadPool pool(3);
    std::atomic<int> calls = 0;
    const auto nested = [&] {
        pool.parallel_for(8, [&](size_t) { pool.parallel_for(8, [&](size_t) { ++calls; }); });
    };
    std::thread other(nested);
    nested();
    other.join();
    EXPECT_EQ(calls, 128);
}

TEST(OutputFile, AppearsAtCommit) {
    const TempFolder folder;
    write_file(folder / "out", "old");
    {
        OutputFile file(folder / "out");
        file.write("new ");
        file.write(std::string(3'000'000, 'x'));  // longer than any buffer
        file.write(" end");
        EXPECT_EQ(file.size(), 3'000'008u);
        EXPECT_EQ(read_file(folder / "out"), "old");
        file.commit();
    }
    EXPECT_EQ(read_file(folder / "out"), "new " + std::string(3'000'000, 'x') + " end");
    EXPECT_EQ(folder.n_files(), 1u);
}

TEST(OutputFile, LeavesNothingWithoutCommit) {
    const TempFolder folder;
    write_file(folder / "old", "old");
    for (const char* name : {"old", "new"}) {
        OutputFile file(folder / name);
        file.write("half of it");
    }
    EXPECT_EQ(read_file(folder / "old"), "old");
    EXPECT_EQ(folder.n_files(), 1u);
}

TEST(OutputFile, WritesThroughLinksAndIntoDevices) {
    const TempFolder folder;
    write_file(folder / "target", "old");
    std::filesystem::create_symlink("target", folder / "link");
    OutputFile file(folder / "link");
    file.write("new");
    file.commit();
    EXPECT_EQ(read_file(folder / "target"), "new");
    EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));

    OutputFile null("/dev/null");
    null.write("gone");
    null.commit();
    EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST(OutputFile, ErrorsNameTheFile) {
    const TempFolder folder;
    const std::string nowhere = folder / "no/such/folder/out";
    expect_error(ErrorCode::kIo, {nowhere, "No such file"}, [&] { OutputFile file(nowhere); });
    expect_error(ErrorCode::kIo, {folder / "", "folder"}, [&] { OutputFile file(folder / ""); });
    expect_error(ErrorCode::kIo, {"path", "empty"}, [] { OutputFile file(""); });
    expect_error(ErrorCode::kIo, {"/dev/full", "No space left"}, [] {
        OutputFile file("/dev/full");
        file.write("x");
        file.commit();
    });
}

TEST(Log, DropsWhatIsBelowTheLevel) {
    const LogLevel before = log_level();
    set_log_level(LogLevel::kWarn);
    testing::internal::CaptureStderr();
    log_info("quiet {}", 1);
    log_warn("loud {}", 2);
    set_log_level(LogLevel::kDebug);
    log_debug("now {}", 3);
    set_log_level(LogLevel::kOff);
    log_error("off {}", 4);
    const std::string text = testing::internal::GetCapturedStderr();
    set_log_level(before);
    EXPECT_EQ(text, "vkmoe: warning: loud 2\nvkmoe: debug: now 3\n");
}

}  // namespace
}  // namespace vkmoe
