#include "cli/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace vkmoe::cli {
namespace {

using namespace std::chrono_literals;

constexpr int kBarWidth = 30;
constexpr auto kBarInterval = 100ms;
constexpr auto kLineInterval = 5s;

// A signal handler can reach nothing else.
volatile std::sig_atomic_t interrupt_seen = 0;

}  // namespace

void ignore_broken_pipes() {
    std::signal(SIGPIPE, SIG_IGN);
}

void StandardOutput::write(std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
        if (written >= 0) {
            text.remove_prefix(static_cast<size_t>(written));
        } else if (errno == EPIPE) {
            throw ClosedOutput();
        } else if (errno != EINTR) {
            fail(ErrorCode::kIo, "cannot write to the standard output: {}",
                 std::generic_category().message(errno));
        }
    }
}

void catch_interrupts() {
    struct sigaction action {};
    action.sa_handler = [](int) { interrupt_seen = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, nullptr);
}

bool interrupted() {
    return interrupt_seen != 0;
}

Progress::Progress(std::string title)
    : title_(std::move(title)),
      terminal_(::isatty(STDERR_FILENO) != 0),
      next_(Clock::now() + (terminal_ ? Clock::duration(kBarInterval) : Clock::duration(kLineInterval))) {}

Progress::~Progress() {
    if (!drawn_ || !terminal_) return;
    std::fputs("\r\x1b[K", stderr);
    std::fflush(stderr);
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
    const std::string_view gap = note.empty() ? "" : "  ";
    if (terminal_) {
        const int full = static_cast<int>(done * kBarWidth);
        fmt::print(stderr, "\r{} [{:#<{}}{:-<{}}] {:3.0f}%{}{}\x1b[K", title_, "", full, "", kBarWidth - full,
                   100 * done, gap, note);
    } else {
        fmt::print(stderr, "{}: {:.0f}%{}{}\n", title_, 100 * done, gap, note);
    }
    std::fflush(stderr);
}

std::string human_bytes(uint64_t bytes) {
    constexpr std::array kUnits = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    auto value = static_cast<double>(bytes);
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
    return unit == 0 ? fmt::format("{} {}", bytes, kUnits[unit])
                     : fmt::format("{:.2f} {}", value, kUnits[unit]);
}

std::string human_count(double count) {
    constexpr std::array kUnits = {"", " k", " M", " B", " T"};
    size_t unit = 0;
    for (; count >= 1000 && unit + 1 < kUnits.size(); ++unit) count /= 1000;
    return unit == 0 ? fmt::format("{:.0f}", count) : fmt::format("{:.1f}{}", count, kUnits[unit]);
}

}  // namespace vkmoe::cli
