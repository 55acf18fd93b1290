#include "base/standard_streams.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

namespace vkmoe {
namespace {

constexpr std::string_view kEraseLine = "\r\x1b[K";

bool is_open(int descriptor) {
    return ::fcntl(descriptor, F_GETFD) >= 0;
}

// Found before main(), or while a host process loads the library.
const bool standard_error_was_open = is_open(STDERR_FILENO);

bool output_was_closed = false;

/// Of both streams, which share a terminal more often than not.
struct State {
    std::mutex mutex;
    bool status_shown = false;
    bool output_in_mid_line = false;
};
constinit State state;

int write_all(int descriptor, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(descriptor, text.data(), text.size());
        if (written > 0) {
            text.remove_prefix(static_cast<size_t>(written));
        } else if (written == 0) {
            return EIO;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            // Whoever shares the pipe or terminal may have made it non-blocking.
            pollfd wanted{descriptor, POLLOUT, 0};
            ::poll(&wanted, 1, -1);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

bool streams_are_one_file() {
    struct stat output {};
    struct stat error {};
    return ::fstat(STDOUT_FILENO, &output) == 0 && ::fstat(STDERR_FILENO, &error) == 0 &&
           output.st_dev == error.st_dev && output.st_ino == error.st_ino;
}

void erase_locked() {
    if (!state.status_shown) return;
    write_all(STDERR_FILENO, kEraseLine);
    state.status_shown = false;
}

void begin_line_locked() {
    erase_locked();
    if (!state.output_in_mid_line || !streams_are_one_file()) return;
    write_all(STDERR_FILENO, "\n");
    state.output_in_mid_line = false;
}

}  // namespace

bool open_standard_streams() noexcept {
    output_was_closed = !is_open(STDOUT_FILENO);
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; ++descriptor) {
        // open() returns the lowest number that is free.
        if (!is_open(descriptor) && ::open("/dev/null", O_RDWR) != descriptor) return false;
    }
    return true;
}

bool standard_output_was_closed() noexcept {
    return output_was_closed;
}

int open_file(const std::string& path, int flags, mode_t mode) noexcept {
    return above_standard_streams(::open(path.c_str(), flags | O_CLOEXEC, mode));
}

int above_standard_streams(int descriptor) noexcept {
    if (descriptor < 0 || descriptor > STDERR_FILENO) return descriptor;
    const int moved = ::fcntl(descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    const int error = errno;
    ::close(descriptor);
    errno = error;
    return moved;
}

void write_standard_error(std::string_view text) noexcept {
    if (!standard_error_was_open || text.empty()) return;
    const std::lock_guard lock(state.mutex);
    begin_line_locked();
    write_all(STDERR_FILENO, text);
}

int write_standard_output(std::string_view text) noexcept {
    if (text.empty()) return 0;
    const std::lock_guard lock(state.mutex);
    erase_locked();
    const int error = write_all(STDOUT_FILENO, text);
    if (error == 0) state.output_in_mid_line = text.back() != '\n';
    return error;
}

void show_status_line(std::string_view line) noexcept {
    if (!standard_error_was_open) return;
    const std::lock_guard lock(state.mutex);
    if (!state.status_shown) begin_line_locked();
    write_all(STDERR_FILENO, "\r");
    write_all(STDERR_FILENO, line);
    write_all(STDERR_FILENO, "\x1b[K");
    state.status_shown = true;
}

void erase_status_line() noexcept {
    const std::lock_guard lock(state.mutex);
    erase_locked();
}

}  // namespace vkmoe
