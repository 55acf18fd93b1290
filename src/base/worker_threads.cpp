#include "base/worker_threads.h"

#include "base/error.h"
#include "base/faults.h"
#include "base/log.h"

#include <cerrno>
#include <exception>
#include <string>
#include <system_error>
#include <utility>

namespace vkmoe {

void WorkerThreads::start(std::string_view task, size_t n, std::function<void(size_t)> work,
                          const std::function<void()>& stop) {
    const auto run = [task = std::string(task), work = std::move(work)](size_t number) {
        try {
            work(number);
        } catch (const std::exception& error) {
            log_error("a thread to {} ended: {}", task, error.what());
        } catch (...) {
            log_error("a thread to {} ended with an unknown exception", task);
        }
    };
    const size_t n_before = threads_.size();
    try {
        threads_.reserve(n_before + n);
        for (size_t i = 0; i < n; ++i) {
            if (fault(FaultPoint::kThreadStart))
                throw std::system_error(EAGAIN, std::generic_category(), "injected fault");
            threads_.emplace_back(run, i);
        }
    } catch (const std::system_error& error) {
        const size_t n_running = threads_.size() - n_before;
        stop();
        join();
        fail(ErrorCode::kResourceLimit,
             "cannot start a thread to {} (number {} of {}): {}; close other programs or raise the thread "
             "limit (ulimit -u, or pids.max of the control group)",
             task, n_running + 1, n, system_error_text(error.code().value()));
    } catch (...) {
        stop();
        join();
        throw;
    }
}

void WorkerThreads::join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
}

}  // namespace vkmoe
