#pragma once

#include <fmt/format.h>
#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>

namespace vkmoe {

/// Opens /dev/null as descriptor 0, 1 and 2 wherever one of them is closed, so that no other file gets it. A
/// program calls it first of all. False when /dev/null cannot be opened.
bool open_standard_streams() noexcept;
/// Whether open_standard_streams() found descriptor 1 closed.
bool standard_output_was_closed() noexcept;

/// Opens a file as open() does, closed on exec. The descriptor is never 0, 1 or 2: a host process may have
/// closed those, and text that it prints must not reach the file. Returns -1 and sets errno on failure.
int open_file(const std::string& path, int flags, mode_t mode = 0) noexcept;
/// Moves a descriptor that is 0, 1 or 2 to a higher number. Returns -1 and sets errno on failure, also where
/// `descriptor` is -1; the descriptor is closed then.
int above_standard_streams(int descriptor) noexcept;

/// Writes to standard error and never throws: text that cannot be written is dropped. Writes nothing if
/// descriptor 2 was closed when the library was loaded: a file that got the number since is not standard
/// error. Text begins on a line of its own where standard output ends in mid-line on the same terminal or
/// file. Safe from any thread, as are the functions below.
void write_standard_error(std::string_view text) noexcept;

/// The same with text that is formatted first.
template <typename... Args>
void print_standard_error(fmt::format_string<Args...> format, Args&&... args) noexcept {
    try {
        write_standard_error(fmt::format(format, std::forward<Args>(args)...));
    } catch (...) {
        // Memory ran out. An exception would end the program if this is a handler.
    }
}

/// Writes to standard output without a buffer. Returns 0 or an errno.
int write_standard_output(std::string_view text) noexcept;

/// Draws a line without an end on the terminal of standard error. The next text on either stream, or the next
/// status line, replaces it.
void show_status_line(std::string_view line) noexcept;
void erase_status_line() noexcept;

}  // namespace vkmoe
