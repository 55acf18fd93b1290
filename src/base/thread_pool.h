#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

#include "base/worker_threads.h"

namespace vkmoe {

/// A fixed set of worker threads.
class ThreadPool {
  public:
    /// n_threads counts the calling thread, so 1 runs everything in the caller. 0 takes one a processor.
    /// Throws kResourceLimit where a thread cannot start.
    explicit ThreadPool(size_t n_threads = 0);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    /// Threads that work on a parallel_for, the caller among them.
    size_t size() const { return workers_.size() + 1; }

    /// Calls fn(0) ... fn(count - 1), each once, in any order, and returns when all are done. The caller
    /// works too, so it may be called from inside fn and by several threads at once. After the first
    /// exception no further index is started; once the running ones have ended, that exception is thrown
    /// here.
    void parallel_for(size_t count, const std::function<void(size_t)>& fn);

  private:
    struct Job;

    void work();
    void stop();

    std::mutex mutex_;
    std::condition_variable wake_;  // for workers: a job came, or stop_
    std::condition_variable done_;  // for parallel_for: a worker left its job
    std::deque<Job*> jobs_;         // each owned by the parallel_for that waits for it
    bool stop_ = false;
    WorkerThreads workers_;
};

}  // namespace vkmoe
