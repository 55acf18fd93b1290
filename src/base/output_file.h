#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vkmoe {

/// A file that appears under its name only when it is complete: bytes go to a temporary file in the same
/// folder, which commit() moves into place. Without commit() nothing is left and an older file of that name
/// is untouched. Where the path names something that is no regular file (/dev/stdout, a pipe), bytes go
/// straight there. Every failure throws kIo and names the path.
class OutputFile {
  public:
    explicit OutputFile(std::string path);
    ~OutputFile();
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    void write(std::span<const std::byte> bytes);
    void write(std::string_view text);

    /// Bytes written so far.
    uint64_t size() const { return size_; }
    const std::string& path() const { return path_; }

    /// Flushes, closes and moves into place. Nothing may be written afterwards.
    void commit();

  private:
    void open_temporary();
    void name_temporary();
    void write_through(std::span<const std::byte> bytes);
    [[noreturn]] void fail_with(std::string_view what, int error) const;

    std::string path_;
    std::string target_;     // path_ with symbolic links followed
    std::string temporary_;  // the named temporary file while there is one to remove
    int fd_ = -1;
    bool direct_ = false;   // writing to path_ itself
    bool unnamed_ = false;  // the temporary file has no name yet
    uint64_t size_ = 0;
    std::vector<std::byte> buffer_;
};

}  // namespace vkmoe
