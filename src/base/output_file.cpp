#include "base/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/standard_streams.h"

namespace vkmoe {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr int kNameAttempts = 1000;

std::string folder_of(const std::string& path) {
    const std::string folder = std::filesystem::path(path).parent_path().string();
    return folder.empty() ? "." : folder;
}

std::string temporary_name(const std::string& target, int attempt) {
    return fmt::format("{}/.vkmoe-{}-{}.tmp", folder_of(target), ::getpid(), attempt);
}

}  // namespace

OutputFile::OutputFile(std::string path) : path_(std::move(path)), target_(path_) {
    if (path_.empty()) fail(ErrorCode::kIo, "the output path is empty; give the path of a file");
    std::error_code error;
    const std::filesystem::file_status status = std::filesystem::status(path_, error);
    if (std::filesystem::is_directory(status)) {
        fail(ErrorCode::kIo, "cannot write '{}': it is a folder; give the path of a file in it", path_);
    }
    buffer_.reserve(kBufferBytes);
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
        direct_ = true;
        fd_ = open_file(path_, O_WRONLY);
        if (fd_ < 0) fail_with("open", errno);
        return;
    }
    const std::filesystem::path resolved = std::filesystem::weakly_canonical(path_, error);
    if (!error) target_ = resolved.string();
    open_temporary();
}

OutputFile::~OutputFile() {
    if (fd_ >= 0) ::close(fd_);
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void OutputFile::open_temporary() {
    // A file without a name vanishes even when the process is killed, but not every file system has them.
    fd_ = open_file(folder_of(target_), O_TMPFILE | O_WRONLY, 0666);
    unnamed_ = fd_ >= 0;
    if (unnamed_) return;
    for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
        std::string name = temporary_name(target_, attempt);
        fd_ = open_file(name, O_CREAT | O_EXCL | O_WRONLY, 0666);
        if (fd_ >= 0) {
            temporary_ = std::move(name);
            return;
        }
        if (errno != EEXIST) break;
    }
    fail_with("create", errno);
}

void OutputFile::name_temporary() {
    const std::string source = fmt::format("/proc/self/fd/{}", fd_);
    for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
        std::string name = temporary_name(target_, attempt);
        if (::linkat(AT_FDCWD, source.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
            temporary_ = std::move(name);
            return;
        }
        if (errno != EEXIST) break;
    }
    fail_with("create", errno);
}

void OutputFile::write(std::span<const std::byte> bytes) {
    if (buffer_.size() + bytes.size() > kBufferBytes) {
        write_through(buffer_);
        buffer_.clear();
    }
    if (bytes.size() > kBufferBytes) {
        write_through(bytes);
    } else {
        buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    }
    size_ += bytes.size();
}

void OutputFile::write(std::string_view text) {
    write(std::as_bytes(std::span(text)));
}

void OutputFile::write_through(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
        if (written < 0) {
            if (errno == EINTR) continue;
            fail_with("write", errno);
        }
        bytes = bytes.subspan(static_cast<size_t>(written));
    }
}

void OutputFile::commit() {
    write_through(buffer_);
    buffer_.clear();
    if (unnamed_) name_temporary();
    if (::close(std::exchange(fd_, -1)) != 0) fail_with("write", errno);
    if (direct_) return;
    if (std::rename(temporary_.c_str(), target_.c_str()) != 0) fail_with("create", errno);
    temporary_.clear();
}

void OutputFile::fail_with(std::string_view what, int error) const {
    if (error == EFBIG) {
        fail(ErrorCode::kIo, "cannot {} '{}': {}; raise the file size limit (ulimit -f)", what, path_,
             system_error_text(error));
    }
    fail(ErrorCode::kIo, "cannot {} '{}': {}; check the folder, its permissions and free space", what, path_,
         system_error_text(error));
}

}  // namespace vkmoe
