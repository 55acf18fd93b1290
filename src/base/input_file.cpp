#include "base/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/standard_streams.h"

namespace vkmoe {

namespace {

std::string read_to_the_end(int descriptor, const std::string& name) {
    std::string bytes;
    std::array<char, 1 << 16> buffer;
    for (;;) {
        const ssize_t result = ::read(descriptor, buffer.data(), buffer.size());
        if (result == 0) return bytes;
        if (result > 0) {
            bytes.append(buffer.data(), static_cast<size_t>(result));
        } else if (errno != EINTR) {
            fail(ErrorCode::kIo, "cannot read {}: {}", name, system_error_text(errno));
        }
    }
}

}  // namespace

InputFile::InputFile(std::string path) : path_(std::move(path)) {
    // O_NONBLOCK: opening a pipe must not wait for a writer; files do not care.
    fd_ = open_file(path_, O_RDONLY | O_NONBLOCK);
    if (fd_ < 0) fail(ErrorCode::kIo, "{}", open_failure(path_, errno));
    struct stat status {};
    const int error = ::fstat(fd_, &status) == 0 ? 0 : errno;
    if (error == 0 && S_ISREG(status.st_mode)) {
        size_ = static_cast<uint64_t>(status.st_size);
        return;
    }
    ::close(fd_);
    if (error != 0) fail(ErrorCode::kIo, "cannot read the size of '{}': {}", path_, system_error_text(error));
    fail(ErrorCode::kIo, "{}", not_a_file(path_, status.st_mode));
}

std::string open_failure(const std::string& path, int error) {
    std::string advice = "check the path";
    if (error == EACCES) advice = "check the permissions of the file and of its parent folders";
    if (error == ELOOP) advice = "the symbolic links in the path form a loop";
    if (error == ENOTDIR) advice = "a component of the path is a file, not a folder";
    if (std::error_code ignored; error == ENOENT && std::filesystem::is_symlink(path, ignored)) {
        const std::filesystem::path target = std::filesystem::read_symlink(path, ignored);
        advice = fmt::format("it is a symbolic link to '{}', which is missing; download that file again",
                             target.string());
    }
    return fmt::format("cannot open '{}': {}; {}", path, system_error_text(error), advice);
}

std::string not_a_file(const std::string& path, unsigned mode) {
    if (S_ISREG(mode)) return {};
    if (S_ISDIR(mode)) return fmt::format("'{}' is a folder; give the path of a file in it", path);
    const std::string_view kind = S_ISFIFO(mode)                   ? "a pipe"
                                  : S_ISSOCK(mode)                 ? "a socket"
                                  : S_ISCHR(mode) || S_ISBLK(mode) ? "a device"
                                                                   : "not a regular file";
    return fmt::format("'{}' is {} and does not support random access; save its contents to a file", path,
                       kind);
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
    struct Descriptor {
        int number;
        ~Descriptor() {
            if (number >= 0) ::close(number);
        }
    };
    const Descriptor file{open_file(path, O_RDONLY)};
    if (file.number < 0) fail(ErrorCode::kIo, "{}", open_failure(path, errno));
    return read_to_the_end(file.number, "'" + path + "'");
}

std::string read_standard_input() {
    return read_to_the_end(STDIN_FILENO, "the standard input");
}

std::string read_error(const std::string& path, uint64_t offset, uint64_t bytes, const std::string& reason) {
    return fmt::format("cannot read {} bytes of '{}' at offset {}: {}", bytes, path, offset, reason);
}

std::string disk_fault(int error) {
    return system_error_text(error) + "; check the disk that holds the file";
}

std::string cut_short(int descriptor) {
    struct stat status {};
    const long long end = ::fstat(descriptor, &status) == 0 ? status.st_size : 0;
    return fmt::format("the file ends at {}; it was cut short while in use, so restore it", end);
}

}  // namespace vkmoe
