#include "conformance/run.h"

#include "base/error.h"
#include "base/worker_threads.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

namespace vkmoe::conformance {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kTick(100);

class Run {
  public:
    Run(KernelContext& kernels, const std::vector<KernelKey>& cells, const RunOptions& options,
        RunResult& result)
        : kernels_(kernels), cells_(cells), options_(options), result_(result) {
        const uint32_t wanted = cells_at_once(options);
        for (uint32_t i = 0; i < wanted; ++i) {
            benches_.push_back(std::make_unique<Bench>(kernels));
            benches_.back()->time_limit = options.time_limit;
        }
        running_.resize(wanted);
        n_working_ = wanted;
    }

    void start() {
        threads_.start(
            "run conformance cases", benches_.size(), [this](size_t i) { work(i); },
            [this] {
                const std::lock_guard lock(mutex_);
                stop_ = true;
            });
    }

    /// Until the last thread has ended; then throws what a thread threw.
    void watch(const RunProgress& progress) {
        std::exception_ptr stopped;
        std::unique_lock lock(mutex_);
        for (bool working = true; working;) {
            changed_.wait_for(lock, kTick, [this] { return n_working_ == 0; });
            working = n_working_ != 0;
            const std::string running = running_names();
            const size_t done = n_done_;
            lock.unlock();
            try {
                if (progress && stopped == nullptr) progress(done, cells_.size(), running);
            } catch (...) {
                stopped = std::current_exception();
            }
            lock.lock();
            if (stopped != nullptr) stop_ = true;
        }
        lock.unlock();
        threads_.join();
        // Their schedulers would wait for work that never ends.
        if (result_.device_lost)
            for (std::unique_ptr<Bench>& bench : benches_) static_cast<void>(bench.release());
        if (stopped != nullptr) std::rethrow_exception(stopped);
        if (failure_ != nullptr) std::rethrow_exception(failure_);
    }

  private:
    void work(size_t thread) {
        for (;;) {
            size_t index = 0;
            {
                const std::lock_guard lock(mutex_);
                if (stop_ || next_ == cells_.size()) break;
                index = next_++;
            }
            try {
                run_one(thread, index);
            } catch (const Error& error) {
                end_early(thread, error);
            } catch (...) {
                const std::lock_guard lock(mutex_);
                failure_ = std::current_exception();
                stop_ = true;
            }
        }
        const std::lock_guard lock(mutex_);
        --n_working_;
        changed_.notify_all();
    }

    void run_one(size_t thread, size_t index) {
        const KernelKey& cell = cells_[index];
        const std::string name = cell_name(cell);
        const auto on_case = [&](const CellResult&, std::string_view one) {
            const std::lock_guard lock(mutex_);
            running_[thread] = fmt::format("{}: {}", name, one);
        };
        CellResult result =
            run_cell(*benches_[thread], cell, options_.depth, options_.seed, on_case, options_.find_cases);
        const std::lock_guard lock(mutex_);
        running_[thread].clear();
        result_.cells[index] = std::move(result);
        ++n_done_;
        changed_.notify_all();
    }

    void end_early(size_t thread, const Error& error) {
        const std::lock_guard lock(mutex_);
        stop_ = true;
        if (!result_.ended.empty()) return;  // the others only notice the same
        result_.device_lost = error.code() == ErrorCode::kDeviceLost;
        result_.ended = fmt::format("{}; it occurred in {}", error.what(), running_[thread]);
        std::vector<std::string> others;
        for (size_t i = 0; i < running_.size(); ++i)
            if (i != thread && !running_[i].empty()) others.push_back(running_[i]);
        if (!others.empty()) result_.ended += fmt::format(", while {} also ran", fmt::join(others, " and "));
    }

    std::string running_names() const {
        std::vector<std::string_view> names;
        for (const std::string& name : running_)
            if (!name.empty()) names.push_back(name);
        return fmt::format("{}", fmt::join(names, "; "));
    }

    KernelContext& kernels_;
    const std::vector<KernelKey>& cells_;
    const RunOptions& options_;
    std::vector<std::unique_ptr<Bench>> benches_;  // one a thread

    std::mutex mutex_;  // of all below
    std::condition_variable changed_;
    RunResult& result_;
    std::vector<std::string> running_;  // what each thread does
    std::exception_ptr failure_;
    size_t next_ = 0;
    size_t n_done_ = 0;
    size_t n_working_ = 0;
    bool stop_ = false;
    WorkerThreads threads_;
};

}  // namespace

uint32_t cells_at_once(const RunOptions& options) {
    constexpr uint32_t kMost = 4;
    return options.n_threads != 0 ? options.n_threads
                                  : std::clamp(std::thread::hardware_concurrency(), 1u, kMost);
}

RunResult waiting_result(const std::vector<KernelKey>& cells) {
    RunResult result;
    for (const KernelKey& cell : cells) {
        CellResult waiting;
        waiting.cell = cell;
        result.cells.push_back(std::move(waiting));
    }
    return result;
}

void run_cells(KernelContext& kernels, const std::vector<KernelKey>& cells, const RunOptions& options,
               const RunProgress& progress, RunResult& result) {
    const Clock::time_point start = Clock::now();
    result = waiting_result(cells);
    Run run(kernels, cells, options, result);
    run.start();
    try {
        run.watch(progress);
    } catch (...) {
        result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
        throw;
    }
    result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace vkmoe::conformance
