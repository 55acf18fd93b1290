#include "base/file_reader.h"

#include <cassert>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/read_queue.h"
#include "base/worker_threads.h"

namespace vkmoe {
namespace {

/// A thread for each read in flight.
class ThreadWorkers : public ReadWorkers {
  public:
    ThreadWorkers(ReadQueue& queue, const FileReaderOptions& options) {
        for (uint32_t i = 0; i < options.n_in_flight; ++i) buffers_.emplace_back(options.piece_bytes);
        threads_.start(
            "read files", options.n_in_flight,
            [this, &queue](size_t i) { read_all(queue, buffers_[i].data()); }, [&queue] { queue.stop(); });
    }

    void wake() override {}  // threads wait for the queue itself

  private:
    std::vector<PageBuffer> buffers_;
    WorkerThreads threads_;
};

/// Null where io_uring is not wanted or, unless nothing else will do, not to be had.
std::unique_ptr<ReadWorkers> try_uring(ReadQueue& queue, const FileReaderOptions& options) {
    if (options.backend == ReadBackend::kThreads) return nullptr;
    std::string reason;
    std::unique_ptr<ReadWorkers> workers = make_uring_workers(queue, options, reason);
    if (workers != nullptr) return workers;
    if (options.backend)
        fail(ErrorCode::kUnsupported, "io_uring is not available: {}; use the thread backend", reason);
    log_debug("files are read by {} threads because io_uring is not available: {}", options.n_in_flight,
              reason);
    return nullptr;
}

}  // namespace

class FileReader::Impl {
  public:
    explicit Impl(const FileReaderOptions& options)
        : page_cache(options.page_cache), queue(options.piece_bytes) {
        assert(options.n_in_flight > 0 && options.piece_bytes > 0 && options.piece_bytes % 4096 == 0);
        workers = try_uring(queue, options);
        backend = workers != nullptr ? ReadBackend::kIoUring : ReadBackend::kThreads;
        if (workers == nullptr) workers = std::make_unique<ThreadWorkers>(queue, options);
    }
    ~Impl() { queue.stop(); }  // then the workers end
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    const PageCache page_cache;
    ReadQueue queue;
    std::unique_ptr<ReadWorkers> workers;
    ReadBackend backend;
};

FileReader::FileReader(const FileReaderOptions& options) : impl_(std::make_unique<Impl>(options)) {}

FileReader::~FileReader() = default;

uint32_t FileReader::add_file(const std::string& path) {
    return impl_->queue.add_file(path, impl_->page_cache);
}

FileReader::Ticket FileReader::submit(std::span<const FileRead> reads) {
    const Ticket ticket = impl_->queue.submit(reads);
    impl_->workers->wake();
    return ticket;
}

bool FileReader::done(Ticket ticket) const {
    return impl_->queue.done(ticket);
}

void FileReader::wait(Ticket ticket, std::string_view what) {
    impl_->queue.wait(ticket, what);
}

ReadBackend FileReader::backend() const {
    return impl_->backend;
}

uint64_t FileReader::bytes_read() const {
    return impl_->queue.bytes_read();
}

uint64_t FileReader::buffer_bytes(const FileReaderOptions& options) {
    return options.n_in_flight * uint64_t{options.piece_bytes};
}

}  // namespace vkmoe
