#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vkmoe {

/// Bytes that come through a descriptor, in lines.
class LineReader {
  public:
    /// descriptor: stays the caller's.
    explicit LineReader(int descriptor) : descriptor_(descriptor) {}

    enum class Read { kBytes, kNothing, kEnd };
    /// Takes in a part of what has come, where the descriptor does not block; else waits for it. kEnd also
    /// where reading fails.
    Read read_some();
    /// The next whole line, without its end.
    std::optional<std::string> line();
    /// What came after the last whole line.
    std::string take_rest();
    size_t bytes_waiting() const { return bytes_.size(); }

  private:
    int descriptor_;
    std::string bytes_;
};

/// This program, started again in a process of its own: for work that may crash or never return. The two
/// talk through a socket. The child's standard output and standard error are one pipe to the parent. The
/// child does not get Ctrl-C, which its parent handles, and ends with the parent (see adopt_parent_socket).
class ChildProcess {
  public:
    /// arguments: of the program, from its name on. Throws Error(kResourceLimit) where the system refuses a
    /// process or its descriptors.
    explicit ChildProcess(const std::vector<std::string>& arguments);
    /// Kills it.
    ~ChildProcess();
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;

    int socket() const { return socket_; }
    int output() const { return output_; }
    LineReader& messages() { return messages_; }
    LineReader& printed() { return printed_; }

    /// Sends a line; a child that has ended does not get it.
    void send(std::string_view line);
    /// Lets the child read the end of the stream.
    void end_requests();
    /// Waits at most so long for the child's end. False where it goes on.
    bool wait(std::chrono::milliseconds time);
    /// Ends the child by SIGKILL. False where it does not end even so, which a process that hangs in a
    /// kernel driver does; it is left behind then.
    bool kill();
    /// How it ended, to follow "the process": "was ended by SIGSEGV (Segmentation fault)". After its end.
    std::string end_text() const;
    /// After its end: whether it returned 0.
    bool succeeded() const;

  private:
    pid_t id_ = -1;
    int socket_ = -1;
    int output_ = -1;
    LineReader messages_{-1};
    LineReader printed_{-1};
    std::optional<int> status_;  // of waitpid; -1: unknown
};

/// In the program that a ChildProcess started: the socket to the parent. From then on this process ends when
/// the parent does. Throws Error(kInvalidArgument) in a program that was started by another way.
int adopt_parent_socket();

/// Sends a line through a socket. False where nobody is left to read it.
bool send_line(int socket, std::string_view line) noexcept;
/// Waits for a line from a descriptor that blocks; nothing at the end of the stream.
std::optional<std::string> receive_line(LineReader& reader);

}  // namespace vkmoe
