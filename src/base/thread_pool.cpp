#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>

namespace vkmoe {

/// One parallel_for. It lives on its caller's stack: the caller leaves only when it is out of jobs_ and no
/// worker is in it.
struct ThreadPool::Job {
    const std::function<void(size_t)>& fn;
    size_t count;
    std::atomic<size_t> next = 0;
    size_t n_workers = 0;    // workers inside run(); guarded by the pool's mutex
    std::mutex error_mutex;  // guards first_error
    std::exception_ptr first_error;

    Job(const std::function<void(size_t)>& function, size_t n) : fn(function), count(n) {}

    void run() {
        while (true) {
            const size_t i = next.fetch_add(1);
            if (i >= count) return;
            try {
                fn(i);
            } catch (...) {
                const std::lock_guard lock(error_mutex);
                if (!first_error) first_error = std::current_exception();
                next = count;
            }
        }
    }
};

ThreadPool::ThreadPool(size_t n_threads) {
    if (n_threads == 0) n_threads = std::max(1u, std::thread::hardware_concurrency());
    workers_.start(
        "compute in parallel", n_threads - 1, [this](size_t) { work(); }, [this] { stop(); });
}

ThreadPool::~ThreadPool() {
    stop();
    workers_.join();
}

void ThreadPool::stop() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_all();
}

void ThreadPool::work() {
    std::unique_lock lock(mutex_);
    while (true) {
        wake_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
        if (stop_) return;
        Job* job = jobs_.front();
        ++job->n_workers;
        lock.unlock();
        job->run();
        lock.lock();
        std::erase(jobs_, job);  // every index has been taken
        if (--job->n_workers == 0) done_.notify_all();
    }
}

void ThreadPool::parallel_for(size_t count, const std::function<void(size_t)>& fn) {
    Job job(fn, count);
    if (!workers_.empty() && count > 1) {
        {
            const std::lock_guard lock(mutex_);
            jobs_.push_back(&job);
        }
        wake_.notify_all();
        job.run();
        std::unique_lock lock(mutex_);
        std::erase(jobs_, &job);
        done_.wait(lock, [&job] { return job.n_workers == 0; });
    } else {
        job.run();
    }
    if (job.first_error) std::rethrow_exception(job.first_error);
}

}  // namespace vkmoe
