#include "base/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/standard_streams.h"

namespace vkmoe {

InputFile::InputFile(std::string path) : path_(std::move(path)) {
    // O_NONBLOCK: opening a pipe must not wait for a writer; files do not care.
    fd_ = open_file(path_, O_RDONLY | O_NONBLOCK);
    if (fd_ < 0)
        fail(ErrorCode::kIo, "cannot open '{}': {}; check the path", path_, system_error_text(errno));
    struct stat status {};
    const int error = ::fstat(fd_, &status) == 0 ? 0 : errno;
    if (error == 0 && S_ISREG(status.st_mode)) {
        size_ = static_cast<uint64_t>(status.st_size);
        return;
    }
    ::close(fd_);
    if (error != 0) fail(ErrorCode::kIo, "cannot read the size of '{}': {}", path_, system_error_text(error));
    if (S_ISDIR(status.st_mode))
        fail(ErrorCode::kIo, "'{}' is a folder, not a regular file; give the path of a file in it", path_);
    fail(ErrorCode::kIo, "'{}' is not a regular file; save it to one first", path_);
}

InputFile::~InputFile() {
    ::close(fd_);
}

void InputFile::read(uint64_t offset, std::span<std::byte> to) const {
    size_t got = 0;
    while (got < to.size()) {
        const ssize_t result =
            ::pread(fd_, to.data() + got, to.size() - got, static_cast<off_t>(offset + got));
        if (result < 0 && errno == EINTR) continue;
        if (result <= 0) {
            const std::string reason = result < 0 ? disk_fault(errno) : cut_short(fd_);
            fail(ErrorCode::kIo, "{}", read_error(path_, offset, to.size(), reason));
        }
        got += static_cast<size_t>(result);
    }
}

std::vector<std::byte> read_whole_file(const std::string& path) {
    const InputFile file(path);
    std::vector<std::byte> bytes(file.size());
    file.read(0, bytes);
    return bytes;
}

std::string read_stream(const std::string& path) {
    const auto fail_read = [&path](int error) {
        fail(ErrorCode::kIo, "cannot read '{}': {}", path, system_error_text(error));
    };
    struct Descriptor {
        int number;
        ~Descriptor() {
            if (number >= 0) ::close(number);
        }
    };
    const Descriptor file{open_file(path, O_RDONLY)};
    if (file.number < 0) fail_read(errno);
    std::string bytes;
    std::array<char, 1 << 16> buffer;
    for (;;) {
        const ssize_t result = ::read(file.number, buffer.data(), buffer.size());
        if (result == 0) return bytes;
        if (result > 0) {
            bytes.append(buffer.data(), static_cast<size_t>(result));
        } else if (errno != EINTR) {
            fail_read(errno);
        }
    }
}

std::string read_error(const std::string& path, uint64_t offset, uint64_t bytes, const std::string& reason) {
    return fmt::format("cannot read {} bytes of '{}' at offset {}: {}", bytes, path, offset, reason);
}

std::string disk_fault(int error) {
    return system_error_text(error) + "; check the disk that it is on";
}

std::string cut_short(int descriptor) {
    struct stat status {};
    const long long end = ::fstat(descriptor, &status) == 0 ? status.st_size : 0;
    return fmt::format("the file ends at {}; it was cut short while it was in use, put it back", end);
}

}  // namespace vkmoe
