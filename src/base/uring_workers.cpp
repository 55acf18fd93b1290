#include "base/read_queue.h"

#ifdef VKMOE_IO_URING

#include <liburing.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/faults.h"
#include "base/log.h"
#include "base/standard_streams.h"
#include "base/worker_threads.h"

namespace vkmoe {
namespace {

/// A ring, with the means to interrupt a wait for it.
class Ring {
  public:
    Ring() = default;
    ~Ring() {
        if (made_) io_uring_queue_exit(&ring_);
        if (wake_fd_ >= 0) ::close(wake_fd_);
    }
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    /// Empty, or why there is no ring that works. Sandboxes refuse some of the calls or all of them.
    std::string make(uint32_t n_in_flight) {
        const int made = io_uring_queue_init(n_in_flight + 1, &ring_, 0);
        if (made < 0) return system_error_text(-made);
        made_ = true;
        ring_.ring_fd = ring_.enter_ring_fd = above_standard_streams(ring_.ring_fd);
        if (ring_.ring_fd < 0) return system_error_text(errno);
        io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
        const bool reads = probe != nullptr && io_uring_opcode_supported(probe, IORING_OP_READ) != 0;
        io_uring_free_probe(probe);
        if (!reads) return "the kernel is too old for io_uring reads";
        io_uring_prep_nop(io_uring_get_sqe(&ring_));
        io_uring_cqe* completion = nullptr;
        int result = io_uring_submit(&ring_);
        if (result >= 0) result = io_uring_wait_cqe(&ring_, &completion);
        if (result < 0) return system_error_text(-result);
        io_uring_cqe_seen(&ring_, completion);
        wake_fd_ = above_standard_streams(::eventfd(0, EFD_CLOEXEC));
        return wake_fd_ >= 0 ? std::string() : system_error_text(errno);
    }

    void wake() { ::eventfd_write(wake_fd_, 1); }

    io_uring& get() { return ring_; }
    /// Lets the next wake() complete as a request without user data.
    void listen() {
        io_uring_sqe* request = io_uring_get_sqe(&ring_);
        io_uring_prep_read(request, wake_fd_, &wakes_, sizeof wakes_, 0);
        io_uring_sqe_set_data(request, nullptr);
    }
    /// Gives the kernel what was asked for and waits for a completion. 0, or a negative errno: then the
    /// kernel has taken some requests or none.
    int submit() {
        if (fault(FaultPoint::kRingSubmit)) return -EPERM;
        const int result = io_uring_submit_and_wait(&ring_, 1);
        return std::min(result, 0);
    }
    /// Requests that the kernel has not taken, the last ones that were made.
    size_t n_untaken() const { return io_uring_sq_ready(&ring_); }

  private:
    io_uring ring_{};
    bool made_ = false;
    int wake_fd_ = -1;
    uint64_t wakes_ = 0;
};

/// One thread, which keeps as many pieces in flight as there are buffers.
class UringWorkers : public ReadWorkers {
  public:
    UringWorkers(ReadQueue& queue, std::unique_ptr<Ring> ring, const FileReaderOptions& options)
        : queue_(queue), ring_(std::move(ring)) {
        for (uint32_t i = 0; i < options.n_in_flight; ++i) places_.emplace_back(options.piece_bytes);
        asked_.reserve(size_t{options.n_in_flight} + 2);  // one to listen, and a new one beside all that wait
        thread_.start(
            "read files by io_uring", 1, [this](size_t) { work(); }, [] {});
    }

    ~UringWorkers() override {
        stop_ = true;
        ring_->wake();
        thread_.join();
    }

    void wake() override { ring_->wake(); }

  private:
    struct Place {
        explicit Place(size_t bytes) : buffer(bytes) {}
        PageBuffer buffer;
        ReadTransfer transfer;
        bool busy = false;
    };

    void work() {
        listen();
        uint32_t n_refusals = 0;  // since the kernel last took something
        while (!stop_ || n_busy_ > 0) {
            for (Place& place : places_) {
                ReadPiece piece;
                if (place.busy || stop_) continue;
                if (!queue_.next(piece, false)) break;
                place.transfer = ReadTransfer(piece, place.buffer.data());
                place.busy = true;
                ++n_busy_;
                ask(place);
            }
            const int error = ring_->submit();
            n_refusals = error == 0 || error == -EINTR ? 0 : n_refusals + 1;
            if (n_refusals > 0) {
                // What the kernel lacks for the moment it may have at the next call.
                const bool passes = error == -EAGAIN || error == -EBUSY || error == -ENOMEM;
                if (!passes || n_refusals == kMostRefusals) {
                    go_on_without_ring(-error);
                    return;
                }
                std::this_thread::sleep_for(kPause);
            }
            take_completions(true);
        }
    }

    /// go_on: what is not complete is asked for again.
    void take_completions(bool go_on) {
        io_uring_cqe* completion = nullptr;
        while (io_uring_peek_cqe(&ring_->get(), &completion) == 0) {
            Place* place = static_cast<Place*>(io_uring_cqe_get_data(completion));
            const int result = completion->res;
            io_uring_cqe_seen(&ring_->get(), completion);
            if (place == nullptr) {
                if (go_on) listen();
                continue;
            }
            const bool is_done = place->transfer.take(result);
            if (!is_done && go_on) {
                ask(*place);
                continue;
            }
            if (!is_done) read_now(place->transfer);
            finish(*place);
        }
    }

    /// Reads by this thread from now on, piece by piece.
    void go_on_without_ring(int error) {
        log_warn("io_uring takes no more reads: {}; continuing with one read at a time, which is slower",
                 system_error_text(error));
        size_t n_untaken = ring_->n_untaken();
        for (; n_untaken > 0 && !asked_.empty(); --n_untaken) {
            Place* place = asked_.back();
            asked_.pop_back();
            if (place == nullptr) continue;
            read_now(place->transfer);
            finish(*place);
        }
        // The kernel still writes into the memory of the others.
        while (n_busy_ > 0) {
            take_completions(false);
            if (n_busy_ > 0) std::this_thread::sleep_for(kPause);
        }
        read_all(queue_, places_.front().buffer.data());
    }

    void finish(Place& place) {
        place.busy = false;
        --n_busy_;
        queue_.finish(place.transfer);
    }

    void listen() {
        ring_->listen();
        note_asked(nullptr);
    }

    /// Remembers the last requests, among which are all that the kernel has not taken.
    void note_asked(Place* place) {
        asked_.push_back(place);
        if (asked_.size() > ring_->n_untaken())
            asked_.erase(asked_.begin(), asked_.end() - static_cast<std::ptrdiff_t>(ring_->n_untaken()));
    }

    void ask(Place& place) {
        const ReadTransfer::Request request = place.transfer.request();
        // There are as many entries as places, and one to listen.
        io_uring_sqe* entry = io_uring_get_sqe(&ring_->get());
        io_uring_prep_read(entry, request.fd, request.to, static_cast<unsigned>(request.bytes),
                           request.offset);
        io_uring_sqe_set_data(entry, &place);
        note_asked(&place);
    }

    /// About a second of refusals in a row.
    static constexpr uint32_t kMostRefusals = 1000;
    static constexpr std::chrono::milliseconds kPause{1};

    ReadQueue& queue_;
    std::unique_ptr<Ring> ring_;
    std::vector<Place> places_;
    // Of the thread, null for a request to listen. It has memory for all from the beginning.
    std::vector<Place*> asked_;
    size_t n_busy_ = 0;  // places, of the thread
    std::atomic<bool> stop_ = false;
    WorkerThreads thread_;
};

}  // namespace

std::unique_ptr<ReadWorkers> make_uring_workers(ReadQueue& queue, const FileReaderOptions& options,
                                                std::string& reason) {
    auto ring = std::make_unique<Ring>();
    reason = ring->make(options.n_in_flight);
    if (!reason.empty()) return nullptr;
    return std::make_unique<UringWorkers>(queue, std::move(ring), options);
}

}  // namespace vkmoe

#else

namespace vkmoe {

std::unique_ptr<ReadWorkers> make_uring_workers(ReadQueue&, const FileReaderOptions&, std::string& reason) {
    reason = "vkmoe was built without liburing";
    return nullptr;
}

}  // namespace vkmoe

#endif
