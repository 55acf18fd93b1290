#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

namespace vkmoe::cli {

/// Nobody reads the standard output any more: the program ends without a word.
struct ClosedOutput : std::exception {
    const char* what() const noexcept override { return "the standard output was closed"; }
};

/// Ctrl-C came where there was nothing to round off.
struct Interrupted : std::runtime_error {
    Interrupted() : std::runtime_error("interrupted") {}
};

void ignore_broken_pipes();

/// Writes text as it comes, without a buffer. Throws ClosedOutput, or Error(kIo) when it fails otherwise.
class StandardOutput {
  public:
    void write(std::string_view text);
};

/// From now on the first Ctrl-C only makes interrupted() true; a second one ends the program.
void catch_interrupts();
bool interrupted();

/// Shows on stderr how far something is: a bar that is redrawn on a terminal, else a line now and then.
class Progress {
  public:
    explicit Progress(std::string title);
    /// Clears the bar.
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// done: 0 to 1. note: what to say beside it. Throws Interrupted after a Ctrl-C.
    void update(double done, std::string_view note = {});

  private:
    void draw(double done, std::string_view note);

    using Clock = std::chrono::steady_clock;
    std::string title_;
    bool terminal_;
    bool drawn_ = false;
    Clock::time_point next_;  // when it is worth saying something again
};

/// "1.75 GiB"
std::string human_bytes(uint64_t bytes);
/// "30.5 B", "14.4 M"
std::string human_count(double count);

}  // namespace vkmoe::cli
