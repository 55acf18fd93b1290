#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace vkmoe {

/// One range of a file, and where its bytes go.
struct FileRead {
    uint32_t file = 0;  ///< as FileReader::add_file gave it
    uint64_t offset = 0;
    std::span<std::byte> to;
};

enum class ReadBackend { kThreads, kIoUring };

/// How reads of what the page cache does not hold treat it.
enum class PageCache {
    kPast,     ///< they go past it where the file system can, else as kDropped
    kDropped,  ///< they go through it, and what they brought is dropped again
    kKept,     ///< they fill it, as for a file that will soon be read again
};

struct FileReaderOptions {
    std::optional<ReadBackend>
        backend;  ///< none: io_uring where the build and the kernel have it, else threads
    PageCache page_cache = PageCache::kPast;
    uint32_t n_in_flight = 8;        ///< reads that the system is asked for at once
    size_t piece_bytes = 512 << 10;  ///< of one such read: a multiple of 4096
};

/// Reads files by asynchronous calls, never through a mapping, so that a file that is truncated or a disk
/// that fails gives an Error and no signal. Reads are cut into large aligned pieces, several of which are in
/// flight at once. What the page cache holds already is taken from there, where the kernel tells, and stays.
/// Thread-safe.
class FileReader {
  public:
    using Ticket = uint64_t;

    /// Throws kUnsupported where `backend` is asked for and cannot be had.
    explicit FileReader(const FileReaderOptions& options = {});
    /// Forgets what has not begun and waits for what has.
    ~FileReader();
    FileReader(const FileReader&) = delete;
    FileReader& operator=(const FileReader&) = delete;

    /// Opens a file, or finds it among those that are open. Throws kIo.
    uint32_t add_file(const std::string& path);

    /// Starts reads that belong together. Their memory must stay until wait() has returned or thrown, which
    /// every ticket needs, once. Destinations need no alignment.
    Ticket submit(std::span<const FileRead> reads);
    /// Whether wait() would return at once.
    bool done(Ticket ticket) const;
    /// Waits for all of a ticket's reads, which go ahead of those that nobody waits for. Throws kIo that
    /// names file, offset and reason when one failed, after `what` it is that was read; then the others have
    /// ended too.
    void wait(Ticket ticket, std::string_view what = {});

    ReadBackend backend() const;
    /// Bytes that reads brought into their destinations.
    uint64_t bytes_read() const;
    /// Memory that reads pass through: n_in_flight pieces.
    static uint64_t buffer_bytes(const FileReaderOptions& options);

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace vkmoe
