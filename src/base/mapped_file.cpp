#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace vkmoe {
namespace {

std::string error_text(int error) {
    return std::generic_category().message(error);
}

struct Descriptor {
    int fd;
    explicit Descriptor(int descriptor) : fd(descriptor) {}
    ~Descriptor() {
        if (fd >= 0) ::close(fd);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
};

}  // namespace

MappedFile::MappedFile(std::string path) : path_(std::move(path)) {
    // O_NONBLOCK: opening a pipe must not wait for a writer; files do not care.
    const Descriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (file.fd < 0) {
        const int error = errno;
        fail(ErrorCode::kIo, "cannot open '{}': {}; check the path", path_, error_text(error));
    }
    struct stat status {};
    if (::fstat(file.fd, &status) != 0) {
        const int error = errno;
        fail(ErrorCode::kIo, "cannot read the size of '{}': {}", path_, error_text(error));
    }
    if (S_ISDIR(status.st_mode)) {
        fail(ErrorCode::kIo, "'{}' is a folder; give the path of a file in it", path_);
    }
    if (!S_ISREG(status.st_mode)) {
        fail(ErrorCode::kIo, "'{}' is not a regular file and cannot be mapped; save it to a file first",
             path_);
    }
    const size_t size = static_cast<size_t>(status.st_size);
    if (size == 0) return;  // mmap refuses a length of 0
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.fd, 0);
    if (address == MAP_FAILED) {
        const int error = errno;
        fail(ErrorCode::kIo, "cannot map the {} bytes of '{}': {}", size, path_, error_text(error));
    }
    bytes_ = std::span(static_cast<const std::byte*>(address), size);
}

MappedFile::~MappedFile() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::forget() const {
    // Of a shared mapping that nobody writes only the page tables are dropped.
    if (!bytes_.empty()) ::madvise(const_cast<std::byte*>(bytes_.data()), bytes_.size(), MADV_DONTNEED);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(bytes_, other.bytes_);
    return *this;
}

}  // namespace vkmoe
