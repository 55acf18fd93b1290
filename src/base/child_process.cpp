#include "base/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/standard_streams.h"

namespace vkmoe {
namespace {

constexpr int kChildSocket = STDERR_FILENO + 1;
constexpr std::chrono::milliseconds kKillTime(5000);
constexpr int kUnknownStatus = -1;

/// A descriptor that is closed at the end of its scope.
class Descriptor {
  public:
    explicit Descriptor(int number = -1) : number_(above_standard_streams(number)) {}
    ~Descriptor() {
        if (number_ >= 0) ::close(number_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int get() const { return number_; }
    int release() { return std::exchange(number_, -1); }

  private:
    int number_;
};

[[noreturn]] void fail_to_start(int error) {
    fail(ErrorCode::kResourceLimit,
         "cannot start another process: {}; close other programs or raise the limits of processes and open "
         "files (ulimit -u, ulimit -n, or pids.max of the control group)",
         system_error_text(error));
}

void require_started(int error) {
    if (error != 0) fail_to_start(error);
}

/// posix_spawn's description of the child's descriptors.
class FileActions {
  public:
    FileActions() { require_started(posix_spawn_file_actions_init(&actions_)); }
    ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
    FileActions(const FileActions&) = delete;
    FileActions& operator=(const FileActions&) = delete;

    void open_null(int as) {
        require_started(posix_spawn_file_actions_addopen(&actions_, as, "/dev/null", O_RDWR, 0));
    }
    void duplicate(int descriptor, int as) {
        require_started(posix_spawn_file_actions_adddup2(&actions_, descriptor, as));
    }
    const posix_spawn_file_actions_t* get() const { return &actions_; }

  private:
    posix_spawn_file_actions_t actions_{};
};

/// The attributes of a child to which Ctrl-C does not come.
class Attributes {
  public:
    Attributes() {
        require_started(posix_spawnattr_init(&attributes_));
        sigset_t blocked;
        sigemptyset(&blocked);
        pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
        sigaddset(&blocked, SIGINT);
        posix_spawnattr_setsigmask(&attributes_, &blocked);
        posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK);
    }
    ~Attributes() { posix_spawnattr_destroy(&attributes_); }
    Attributes(const Attributes&) = delete;
    Attributes& operator=(const Attributes&) = delete;
    const posix_spawnattr_t* get() const { return &attributes_; }

  private:
    posix_spawnattr_t attributes_{};
};

}  // namespace

LineReader::Read LineReader::read_some() {
    std::array<char, 1 << 16> part;
    for (;;) {
        const ssize_t n = ::read(descriptor_, part.data(), part.size());
        if (n > 0) {
            bytes_.append(part.data(), static_cast<size_t>(n));
            // One part at a time, so that a child that never stops printing does not hold its parent.
            return Read::kBytes;
        }
        if (n == 0) return Read::kEnd;
        if (errno == EINTR) continue;
        return errno == EAGAIN || errno == EWOULDBLOCK ? Read::kNothing : Read::kEnd;
    }
}

std::optional<std::string> LineReader::line() {
    const size_t end = bytes_.find('\n');
    if (end == std::string::npos) return std::nullopt;
    std::string line = bytes_.substr(0, end);
    bytes_.erase(0, end + 1);
    return line;
}

std::string LineReader::take_rest() {
    return std::exchange(bytes_, {});
}

ChildProcess::ChildProcess(const std::vector<std::string>& arguments) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) fail_to_start(errno);
    Descriptor socket(ends[0]);
    const Descriptor child_socket(ends[1]);
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail_to_start(errno);
    Descriptor output(ends[0]);
    const Descriptor child_output(ends[1]);
    for (const int descriptor : {socket.get(), output.get()})
        if (::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK) != 0)
            fail_to_start(errno);

    // The socket comes last: its number may be that of the pipe.
    FileActions files;
    files.open_null(STDIN_FILENO);
    files.duplicate(child_output.get(), STDOUT_FILENO);
    files.duplicate(child_output.get(), STDERR_FILENO);
    files.duplicate(child_socket.get(), kChildSocket);
    const Attributes attributes;
    std::vector<char*> words;
    for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
    words.push_back(nullptr);
    require_started(
        ::posix_spawn(&id_, "/proc/self/exe", files.get(), attributes.get(), words.data(), environ));
    socket_ = socket.release();
    output_ = output.release();
    messages_ = LineReader(socket_);
    printed_ = LineReader(output_);
}

ChildProcess::~ChildProcess() {
    if (id_ > 0) kill();
    if (socket_ >= 0) ::close(socket_);
    if (output_ >= 0) ::close(output_);
}

void ChildProcess::send(std::string_view line) {
    send_line(socket_, line);
}

void ChildProcess::end_requests() {
    ::shutdown(socket_, SHUT_WR);
}

bool ChildProcess::wait(std::chrono::milliseconds time) {
    constexpr std::chrono::milliseconds kPause(2);
    const auto deadline = std::chrono::steady_clock::now() + time;
    while (!status_) {
        int status = 0;
        const pid_t ended = ::waitpid(id_, &status, WNOHANG);
        if (ended == id_) {
            status_ = status;
        } else if (ended < 0 && errno != EINTR) {
            status_ = kUnknownStatus;  // somebody else has waited for it
        } else {
            if (std::chrono::steady_clock::now() >= deadline) return false;
            std::this_thread::sleep_for(kPause);
        }
    }
    return true;
}

bool ChildProcess::kill() {
    if (status_) return true;
    ::kill(id_, SIGKILL);
    return wait(kKillTime);
}

std::string ChildProcess::end_text() const {
    const int status = status_.value_or(kUnknownStatus);
    if (status == kUnknownStatus) return "ended in an unknown way";
    if (!WIFSIGNALED(status)) return fmt::format("ended with exit code {}", WEXITSTATUS(status));
    const int number = WTERMSIG(status);
    const char* name = ::sigabbrev_np(number);
    std::string text = fmt::format(
        "was ended by {} ({})",
        name != nullptr ? fmt::format("SIG{}", name) : fmt::format("signal {}", number), ::strsignal(number));
    if (number == SIGKILL) text += "; the system may have run out of memory";
    return text;
}

bool ChildProcess::succeeded() const {
    return status_ && *status_ != kUnknownStatus && WIFEXITED(*status_) && WEXITSTATUS(*status_) == 0;
}

int adopt_parent_socket() {
    struct stat status {};
    if (::fstat(kChildSocket, &status) != 0 || !S_ISSOCK(status.st_mode))
        fail(ErrorCode::kInvalidArgument,
             "only vkmoe itself starts this part of it, in a process of its own");
    ::fcntl(kChildSocket, F_SETFD, FD_CLOEXEC);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    return kChildSocket;
}

bool send_line(int socket, std::string_view line) noexcept {
    const auto send_all = [socket](std::string_view text) {
        while (!text.empty()) {
            const ssize_t n = ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
            if (n > 0) {
                text.remove_prefix(static_cast<size_t>(n));
            } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
                pollfd wanted{socket, POLLOUT, 0};
                ::poll(&wanted, 1, -1);
            } else if (n == 0 || errno != EINTR) {
                return false;
            }
        }
        return true;
    };
    return send_all(line) && send_all("\n");
}

std::optional<std::string> receive_line(LineReader& reader) {
    for (;;) {
        if (std::optional<std::string> line = reader.line()) return line;
        if (reader.read_some() == LineReader::Read::kEnd) return std::nullopt;
    }
}

}  // namespace vkmoe
