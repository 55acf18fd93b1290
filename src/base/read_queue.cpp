#include "base/read_queue.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>

#include "base/error.h"
#include "base/faults.h"
#include "base/standard_streams.h"

namespace vkmoe {
namespace {

// Of offsets, sizes and memory in reads past the page cache: at least what any disk's blocks need.
constexpr uint64_t kBlock = 4096;

constexpr uint64_t down_to_block(uint64_t value) {
    return value / kBlock * kBlock;
}

}  // namespace

OpenFile::OpenFile(const std::string& path, PageCache page_cache)
    : file_(path), is_kept_(page_cache == PageCache::kKept) {
    // Pages around a piece are other pieces' business.
    ::posix_fadvise(file_.descriptor(), 0, 0, POSIX_FADV_RANDOM);
    if (page_cache == PageCache::kPast) direct_fd_ = open_file(path, O_RDONLY | O_NONBLOCK | O_DIRECT);
    direct_ = direct_fd_ >= 0;
}

OpenFile::~OpenFile() {
    if (direct_fd_ >= 0) ::close(direct_fd_);
}

bool in_page_cache(int descriptor, uint64_t offset, uint64_t bytes) {
    // As linux/mman.h and asm/unistd.h of newer systems have them; the number is that of every architecture
    // but alpha.
    constexpr long kCachestat = 451;
    struct Range {
        uint64_t offset;
        uint64_t bytes;
    } range{down_to_block(offset), 0};
    struct Pages {
        uint64_t cached;
        uint64_t dirty;
        uint64_t writeback;
        uint64_t evicted;
        uint64_t recently_evicted;
    } pages{};
    range.bytes = down_to_block(offset + bytes + kBlock - 1) - range.offset;
    const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    return ::syscall(kCachestat, descriptor, &range, &pages, 0) == 0 && pages.cached * page >= range.bytes;
}

ReadTransfer::ReadTransfer(const ReadPiece& piece, std::byte* bounce) : piece_(piece), bounce_(bounce) {
    begin(piece.file->direct());
}

void ReadTransfer::begin(bool direct) {
    stays_cached_ = piece_.file->is_kept() ||
                    in_page_cache(piece_.file->descriptor(false), piece_.offset, piece_.to.size());
    direct = direct && !stays_cached_;
    direct_ = direct;
    begin_ = direct ? down_to_block(piece_.offset) : piece_.offset;
    end_ = piece_.offset + piece_.to.size();
    if (direct) end_ = down_to_block(end_ + kBlock - 1);
    buffer_ = direct ? bounce_ : piece_.to.data();
    got_ = 0;
}

ReadTransfer::Request ReadTransfer::request() const {
    uint64_t bytes = end_ - begin_ - got_;
    if (piece_.shorten && got_ == 0 && bytes > kBlock) bytes = down_to_block(bytes / 2 + kBlock - 1);
    return {piece_.file->descriptor(direct_), buffer_ + got_, bytes, begin_ + got_};
}

bool ReadTransfer::take(ssize_t result) noexcept {
    try {
        return take_or_throw(result);
    } catch (const std::exception&) {
        error_ = "out of memory";  // short enough to need none
        return true;
    }
}

bool ReadTransfer::take_or_throw(ssize_t result) {
    if (piece_.fail) result = -EIO;
    if (result == -EINTR || result == -EAGAIN) return false;
    if (result == -EINVAL && direct_) {
        // The file system opens files so, but cannot read this one past the page cache.
        piece_.file->give_up_direct();
        begin(false);
        return false;
    }
    if (result < 0) return end_with(disk_fault(static_cast<int>(-result)));

    const uint64_t before = got_;
    got_ += static_cast<uint64_t>(result);
    const uint64_t end_wanted = piece_.offset + piece_.to.size();
    if (begin_ + got_ < end_wanted) {
        // A read past the page cache goes on at a whole block; where that is no progress the file has ended.
        if (direct_) got_ = down_to_block(got_);
        return got_ > before ? false : end_with(cut_short(piece_.file->descriptor(false)));
    }
    if (direct_) {
        std::memcpy(piece_.to.data(), buffer_ + (piece_.offset - begin_), piece_.to.size());
    } else if (!stays_cached_) {
        ::posix_fadvise(piece_.file->descriptor(false), static_cast<off_t>(begin_),
                        static_cast<off_t>(end_ - begin_), POSIX_FADV_DONTNEED);
    }
    return true;
}

bool ReadTransfer::end_with(const std::string& reason) {
    error_ = read_error(piece_.file->path(), piece_.offset, piece_.to.size(), reason);
    return true;
}

uint32_t ReadQueue::add_file(const std::string& path, PageCache page_cache) {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(files_, path, [](const auto& file) { return file->path(); });
    if (found == files_.end()) {
        files_.push_back(std::make_unique<OpenFile>(path, page_cache));
        return static_cast<uint32_t>(files_.size() - 1);
    }
    return static_cast<uint32_t>(found - files_.begin());
}

FileReader::Ticket ReadQueue::submit(std::span<const FileRead> reads) {
    std::vector<ReadPiece> pieces;
    const std::lock_guard lock(mutex_);
    for (const FileRead& read : reads) {
        assert(read.file < files_.size());
        size_t done = 0;
        while (done < read.to.size()) {
            const uint64_t offset = read.offset + done;
            const size_t bytes =
                std::min<uint64_t>(read.to.size() - done, down_to_block(offset) + piece_bytes_ - offset);
            pieces.push_back({.file = files_[read.file].get(),
                              .offset = offset,
                              .to = read.to.subspan(done, bytes),
                              .fail = fault(FaultPoint::kDiskRead),
                              .shorten = fault(FaultPoint::kShortRead)});
            done += bytes;
        }
    }
    const FileReader::Ticket ticket = ++last_ticket_;
    ReadJob& job = jobs_[ticket];
    job.n_left = pieces.size();
    const size_t n_queued = queue_.size();
    try {
        for (ReadPiece& piece : pieces) {
            piece.job = &job;
            queue_.push_back(piece);
        }
    } catch (...) {
        queue_.resize(n_queued);
        jobs_.erase(ticket);
        throw;
    }
    if (pieces.size() == 1) {
        work_.notify_one();
    } else {
        work_.notify_all();
    }
    return ticket;
}

bool ReadQueue::done(FileReader::Ticket ticket) const {
    const std::lock_guard lock(mutex_);
    return jobs_.at(ticket).n_left == 0;
}

void ReadQueue::wait(FileReader::Ticket ticket, std::string_view what) {
    std::unique_lock lock(mutex_);
    const auto found = jobs_.find(ticket);
    assert(found != jobs_.end());
    ReadJob& job = found->second;
    if (job.n_left != 0)
        std::ranges::stable_partition(queue_, [&](const ReadPiece& piece) { return piece.job == &job; });
    done_.wait(lock, [&] { return job.n_left == 0; });
    const std::string error = std::move(job.error);
    jobs_.erase(ticket);
    if (!error.empty()) fail(ErrorCode::kIo, "{}{}{}", what, what.empty() ? "" : ": ", error);
}

bool ReadQueue::next(ReadPiece& piece, bool wait) {
    std::unique_lock lock(mutex_);
    if (wait) work_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) return false;
    piece = queue_.front();
    queue_.pop_front();
    return true;
}

void ReadQueue::finish(ReadTransfer& transfer) noexcept {
    const std::lock_guard lock(mutex_);
    ReadJob& job = *transfer.piece().job;
    --job.n_left;
    if (transfer.error().empty()) {
        bytes_read_ += transfer.piece().to.size();
    } else if (job.error.empty()) {
        job.error = transfer.take_error();
        job.n_left -= std::erase_if(queue_, [&](const ReadPiece& piece) { return piece.job == &job; });
    }
    if (job.n_left == 0) done_.notify_all();
}

void ReadQueue::stop() {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    queue_.clear();
    work_.notify_all();
}

void read_now(ReadTransfer& transfer) {
    ssize_t result = 0;
    do {
        const ReadTransfer::Request request = transfer.request();
        result = ::pread(request.fd, request.to, request.bytes, static_cast<off_t>(request.offset));
        if (result < 0) result = -errno;
    } while (!transfer.take(result));
}

void read_all(ReadQueue& queue, std::byte* bounce) {
    ReadPiece piece;
    while (queue.next(piece, true)) {
        ReadTransfer transfer(piece, bounce);
        read_now(transfer);
        queue.finish(transfer);
    }
}

}  // namespace vkmoe
