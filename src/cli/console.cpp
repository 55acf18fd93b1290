#include "cli/console.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <utility>

#include "base/error.h"
#include "base/standard_streams.h"

namespace vkmoe::cli {
namespace {

using namespace std::chrono_literals;

constexpr size_t kBarWidth = 30;
constexpr size_t kLeastBarWidth = 10;
constexpr size_t kDefaultColumns = 80;
constexpr auto kBarInterval = 100ms;
constexpr auto kLineInterval = 5s;

// A signal handler can reach nothing else.
volatile std::sig_atomic_t interrupt_seen = 0;

/// Whether stderr is a terminal on which a line can be drawn again.
bool can_redraw() {
    const char* terminal = std::getenv("TERM");
    return ::isatty(STDERR_FILENO) != 0 && terminal != nullptr && *terminal != '\0' &&
           std::string_view(terminal) != "dumb";
}

size_t terminal_columns() {
    winsize size{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    const char* columns = std::getenv("COLUMNS");
    const long number = columns != nullptr ? std::strtol(columns, nullptr, 10) : 0;
    return number > 0 ? static_cast<size_t>(number) : kDefaultColumns;
}

/// The bytes of UTF-8 text from its beginning that take at most so many columns. Characters beyond the Latin,
/// Greek and Cyrillic ones count as two columns, the most that any takes.
size_t bytes_within(std::string_view text, size_t columns) {
    size_t at = 0;
    for (size_t taken = 0; at < text.size();) {
        const auto lead = static_cast<unsigned char>(text[at]);
        taken += lead >= 0xE1 ? 2 : 1;
        if (taken > columns) break;
        do ++at;
        while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
    }
    return at;
}

std::string cut_to(std::string_view text, size_t columns) {
    if (bytes_within(text, columns) == text.size()) return std::string(text);
    constexpr std::string_view kCut = "...";
    if (columns <= kCut.size()) return std::string(text.substr(0, bytes_within(text, columns)));
    return std::string(text.substr(0, bytes_within(text, columns - kCut.size()))).append(kCut);
}

}  // namespace

void ignore_write_signals() {
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
}

StandardOutput::StandardOutput() {
    if (standard_output_was_closed())
        fail(ErrorCode::kIo, "the standard output is closed; redirect it to a file or to /dev/null");
}

void StandardOutput::write(std::string_view text) {
    const int error = write_standard_output(text);
    if (error == EPIPE) throw ClosedOutput();
    if (error != 0) fail(ErrorCode::kIo, "cannot write to the standard output: {}", system_error_text(error));
}

void catch_interrupts() {
    struct sigaction before {};
    if (sigaction(SIGINT, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) return;
    struct sigaction action {};
    action.sa_handler = [](int) { interrupt_seen = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, nullptr);
}

bool interrupted() {
    return interrupt_seen != 0;
}

void end_by_interrupt() {
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
}

Progress::Progress(std::string title)
    : title_(std::move(title)),
      terminal_(can_redraw()),
      next_(Clock::now() + (terminal_ ? Clock::duration(kBarInterval) : Clock::duration(kLineInterval))) {}

Progress::~Progress() {
    if (drawn_ && terminal_) erase_status_line();
}

void Progress::update(double done, std::string_view note) {
    if (interrupted()) throw Interrupted();
    const Clock::time_point now = Clock::now();
    if (now < next_) return;
    next_ = now + (terminal_ ? Clock::duration(kBarInterval) : Clock::duration(kLineInterval));
    draw(std::clamp(done, 0.0, 1.0), note);
    drawn_ = true;
}

void Progress::draw(double done, std::string_view note) {
    if (terminal_) {
        show_status_line(progress_line(title_, done, note, terminal_columns()));
    } else {
        print_standard_error("{}: {:.0f}%{}{}\n", title_, 100 * done, note.empty() ? "" : "  ", note);
    }
}

std::string progress_line(std::string_view title, double done, std::string_view note, size_t columns) {
    // Terminals differ in what a character in the last column does.
    const size_t room = std::max<size_t>(columns, 2) - 1;
    const std::string number = fmt::format("{:3.0f}%", 100 * done);
    const std::string tail = note.empty() ? "" : fmt::format("  {}", note);
    const size_t around_bar = title.size() + number.size() + 4;  // "title [...] 100%"
    if (room < around_bar + kLeastBarWidth) return cut_to(fmt::format("{} {}{}", title, number, tail), room);
    const size_t wanted = around_bar + tail.size();
    const size_t width = std::clamp(room - std::min(room, wanted), kLeastBarWidth, kBarWidth);
    const auto full = static_cast<size_t>(done * static_cast<double>(width));
    return cut_to(fmt::format("{} [{:#<{}}{:-<{}}] {}{}", title, "", full, "", width - full, number, tail),
                  room);
}

std::string human_count(double count) {
    constexpr std::array kUnits = {"", " k", " M", " B", " T"};
    size_t unit = 0;
    for (; count >= 1000 && unit + 1 < kUnits.size(); ++unit) count /= 1000;
    return unit == 0 ? fmt::format("{:.0f}", count) : fmt::format("{:.1f}{}", count, kUnits[unit]);
}

}  // namespace vkmoe::cli
