#pragma once

#include <cstddef>
#include <functional>
#include <string_view>
#include <thread>
#include <vector>

namespace vkmoe {

/// Threads that share one task. The library starts all of its threads here, so that a system that refuses one
/// causes an Error and never ends the process.
class WorkerThreads {
  public:
    WorkerThreads() = default;
    /// Joins: whoever owns the threads tells them to stop before.
    ~WorkerThreads() { join(); }
    WorkerThreads(const WorkerThreads&) = delete;
    WorkerThreads& operator=(const WorkerThreads&) = delete;

    /// Starts n threads that run work(0) ... work(n - 1). task: completes the sentence "cannot start a thread
    /// to ...". If a thread cannot start, calls stop(), which must make work() return, joins the threads that
    /// run, and throws Error(kResourceLimit) that says which thread could not start and why. An exception
    /// that leaves work() ends that thread and is logged.
    void start(std::string_view task, size_t n, std::function<void(size_t)> work,
               const std::function<void()>& stop);
    void join();

    size_t size() const { return threads_.size(); }
    bool empty() const { return threads_.empty(); }

  private:
    std::vector<std::thread> threads_;
};

}  // namespace vkmoe
