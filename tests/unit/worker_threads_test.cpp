// Threads start all together or not at all, and a system that refuses one is an error.

#include "base/worker_threads.h"
#include "base/error.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <stdexcept>

#include "base/file_reader.h"
#include "base/thread_pool.h"
#include "unit/error_matching.h"
#include "unit/scoped_faults.h"

namespace vkmoe {
namespace {

/// Work that lasts until it is told to stop.
struct Waiting {
    std::mutex mutex;
    std::condition_variable changed;
    bool stops = false;
    std::set<size_t> running;

    void work(size_t number) {
        std::unique_lock lock(mutex);
        running.insert(number);
        changed.wait(lock, [this] { return stops; });
        running.erase(number);
    }
    void stop() {
        const std::lock_guard lock(mutex);
        stops = true;
        changed.notify_all();
    }
    void start(WorkerThreads& threads, size_t n) {
        threads.start(
            "wait", n, [this](size_t number) { work(number); }, [this] { stop(); });
    }
};

TEST(WorkerThreads, EachRunsWithItsNumber) {
    std::mutex mutex;
    std::set<size_t> numbers;
    {
        WorkerThreads threads;
        threads.start(
            "count", 5,
            [&](size_t number) {
                const std::lock_guard lock(mutex);
                numbers.insert(number);
            },
            [] {});
        EXPECT_EQ(threads.size(), 5u);
    }
    EXPECT_EQ(numbers, (std::set<size_t>{0, 1, 2, 3, 4}));
}

TEST(WorkerThreads, OneThatCannotStartEndsTheOthersAndIsAnError) {
    for (const int at : {1, 2, 3}) {
        Waiting waiting;
        WorkerThreads threads;
        {
            const ScopedFaults faults("thread_start:at=" + std::to_string(at));
            expect_error(ErrorCode::kResourceLimit,
                         {"cannot start a thread to wait", std::to_string(at) + " of 3",
                          "Resource temporarily unavailable", "ulimit -u"},
                         [&] { waiting.start(threads, 3); });
        }
        EXPECT_TRUE(waiting.stops);
        EXPECT_TRUE(waiting.running.empty());
        EXPECT_TRUE(threads.empty());
        waiting.stops = false;
        waiting.start(threads, 3);
        EXPECT_EQ(threads.size(), 3u);
        waiting.stop();
    }
}

TEST(WorkerThreads, AnExceptionEndsItsThreadOnly) {
    testing::internal::CaptureStderr();
    {
        WorkerThreads threads;
        threads.start(
            "fail", 1, [](size_t) { throw std::runtime_error("no luck"); }, [] {});
        threads.start(
            "fail too", 1, [](size_t) { throw 7; }, [] {});
    }
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_NE(said.find("a thread to fail ended: no luck"), std::string::npos) << said;
    EXPECT_NE(said.find("a thread to fail too ended"), std::string::npos) << said;
}

TEST(ThreadPool, WithoutAThreadIsAnError) {
    for (const int at : {1, 2}) {
        const ScopedFaults faults("thread_start:at=" + std::to_string(at));
        expect_error(ErrorCode::kResourceLimit, {"cannot start a thread to compute in parallel"},
                     [] { ThreadPool(3); });
    }
    std::atomic<int> calls = 0;
    ThreadPool(3).parallel_for(10, [&](size_t) { ++calls; });
    EXPECT_EQ(calls, 10);
}

TEST(FileReader, WithoutAThreadIsAnError) {
    for (const std::optional<ReadBackend> backend :
         {std::optional<ReadBackend>(), std::optional(ReadBackend::kThreads)}) {
        const FileReaderOptions options{.backend = backend, .n_in_flight = 3};
        for (int at = 1; at <= 3; ++at) {
            const ScopedFaults faults("thread_start:at=" + std::to_string(at));
            try {
                const FileReader reader(options);
                EXPECT_TRUE(!backend && at > 1 && reader.backend() == ReadBackend::kIoUring) << at;
            } catch (const Error& error) {
                EXPECT_EQ(error.code(), ErrorCode::kResourceLimit) << error.what();
                EXPECT_NE(std::string(error.what()).find("cannot start a thread to read files"),
                          std::string::npos)
                    << error.what();
            }
        }
        const FileReader reader(options);
    }
}

}  // namespace
}  // namespace vkmoe
