#pragma once

#include <sys/types.h>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/file_reader.h"
#include "base/input_file.h"
#include "base/page_buffer.h"

namespace vkmoe {

/// A file that is open for reads in one of the ways.
class OpenFile {
  public:
    OpenFile(const std::string& path, PageCache page_cache);
    ~OpenFile();
    OpenFile(const OpenFile&) = delete;
    OpenFile& operator=(const OpenFile&) = delete;

    const std::string& path() const { return file_.path(); }
    bool direct() const { return direct_; }
    void give_up_direct() { direct_ = false; }
    /// What reads bring stays in the page cache.
    bool is_kept() const { return is_kept_; }
    int descriptor(bool direct) const { return direct ? direct_fd_ : file_.descriptor(); }

  private:
    InputFile file_;
    const bool is_kept_;
    int direct_fd_ = -1;  // past the page cache; -1 where the file system cannot
    std::atomic<bool> direct_ = false;
};

/// Whether the page cache holds these bytes, as far as the kernel tells (from Linux 6.5 on, and owners of
/// files only); false where it does not.
bool in_page_cache(int descriptor, uint64_t offset, uint64_t bytes);

/// A ticket's reads.
struct ReadJob {
    size_t n_left = 0;  // pieces
    std::string error;  // of the first that failed
};

/// What one call reads at most. Its pages, from the one that holds `offset` on, fit a reader's piece_bytes.
struct ReadPiece {
    ReadJob* job = nullptr;
    OpenFile* file = nullptr;
    uint64_t offset = 0;
    std::span<std::byte> to;
    bool fail = false;  // faults that are to be injected
    bool shorten = false;
};

/// A piece on its way: request() says what to ask the system for, take() what came of it, until that returns
/// true.
class ReadTransfer {
  public:
    struct Request {
        int fd;
        std::byte* to;
        size_t bytes;
        uint64_t offset;
    };

    ReadTransfer() = default;
    /// bounce: piece_bytes on a page boundary, for reads past the page cache.
    ReadTransfer(const ReadPiece& piece, std::byte* bounce);

    Request request() const;
    /// result: bytes, or a negative errno. Never throws: a thread that ended would leave others waiting.
    bool take(ssize_t result) noexcept;

    const ReadPiece& piece() const { return piece_; }
    const std::string& error() const { return error_; }
    std::string take_error() noexcept { return std::move(error_); }

  private:
    bool take_or_throw(ssize_t result);
    void begin(bool direct);
    bool end_with(const std::string& reason);

    ReadPiece piece_;
    std::byte* bounce_ = nullptr;
    bool stays_cached_ = false;  // what the page cache held before, or is to hold
    bool direct_ = false;
    std::byte* buffer_ = nullptr;  // bytes of the file from begin_ to end_
    uint64_t begin_ = 0;
    uint64_t end_ = 0;
    uint64_t got_ = 0;  // bytes from begin_ on
    std::string error_;
};

/// The pieces that wait for their turn and the tickets that they belong to. Thread-safe.
class ReadQueue {
  public:
    explicit ReadQueue(size_t piece_bytes) : piece_bytes_(piece_bytes) {}

    uint32_t add_file(const std::string& path, PageCache page_cache);
    FileReader::Ticket submit(std::span<const FileRead> reads);
    bool done(FileReader::Ticket ticket) const;
    void wait(FileReader::Ticket ticket, std::string_view what);
    uint64_t bytes_read() const { return bytes_read_; }

    /// The next piece; false when there is none now. wait: blocks until there is one or stop() is called.
    bool next(ReadPiece& piece, bool wait);
    void finish(ReadTransfer& transfer) noexcept;
    /// Forgets the pieces that have not begun.
    void stop();

  private:
    const size_t piece_bytes_;
    mutable std::mutex mutex_;
    std::condition_variable work_;
    std::condition_variable done_;
    std::deque<ReadPiece> queue_;
    std::vector<std::unique_ptr<OpenFile>> files_;
    std::unordered_map<FileReader::Ticket, ReadJob> jobs_;
    FileReader::Ticket last_ticket_ = 0;
    std::atomic<uint64_t> bytes_read_ = 0;
    bool stop_ = false;
};

/// Reads what is left of a transfer, by the calling thread.
void read_now(ReadTransfer& transfer);
/// Reads the queue's pieces one by one, by the calling thread, until the queue is stopped. bounce: as for
/// ReadTransfer.
void read_all(ReadQueue& queue, std::byte* bounce);

/// Carries a queue's pieces out until it is destroyed; the queue must have been stopped before.
class ReadWorkers {
  public:
    virtual ~ReadWorkers() = default;
    /// Pieces were added to the queue.
    virtual void wake() = 0;
};

/// Through io_uring. Null, with the reason, where the build or the system has none.
std::unique_ptr<ReadWorkers> make_uring_workers(ReadQueue& queue, const FileReaderOptions& options,
                                                std::string& reason);

}  // namespace vkmoe
