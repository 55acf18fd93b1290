#pragma once

#include "base/units.h"

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

/// Makes write() return an error, where a signal would end the program, on a pipe without a reader and on a
/// file as large as its limit.
void ignore_write_signals();

/// Writes text as it comes, without a buffer. Throws ClosedOutput, or Error(kIo) when it fails otherwise.
class StandardOutput {
  public:
    /// Throws Error(kIo) where the program was started with its standard output closed.
    StandardOutput();
    void write(std::string_view text);
};

/// From now on the first Ctrl-C only makes interrupted() true; a second one ends the program. Does nothing
/// where the program was started with interrupts ignored, as shells start jobs in the background.
void catch_interrupts();
bool interrupted();
/// Ends the program by SIGINT, as if it had not been caught. A shell then reports 130 and ends its own loop
/// or script; bash does neither after exit(130). Returns where SIGINT is ignored or blocked.
void end_by_interrupt();

/// Shows on stderr how far something is: a bar that is redrawn on a terminal, or a line every few seconds
/// where stderr is no terminal or a dumb one (TERM).
class Progress {
  public:
    explicit Progress(std::string title);
    /// Clears the bar.
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// done: 0 to 1. note: text beside the bar. Throws Interrupted after a Ctrl-C.
    void update(double done, std::string_view note = {});

  private:
    void draw(double done, std::string_view note);

    using Clock = std::chrono::steady_clock;
    std::string title_;
    bool terminal_;
    bool drawn_ = false;
    Clock::time_point next_;  // when it is worth saying something again
};

/// "loading [####----]  50%  note", cut to fit a terminal of so many columns: first the bar becomes shorter,
/// then the note is cut, then the bar is left out.
std::string progress_line(std::string_view title, double done, std::string_view note, size_t columns);

/// "30.5 B", "14.4 M"
std::string human_count(double count);

}  // namespace vkmoe::cli
