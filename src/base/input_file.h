#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace vkmoe {

/// A regular file that is open for reading. It is read by calls and never mapped, so that a file that is cut
/// short meanwhile, or a disk that fails, gives an Error and no signal.
class InputFile {
  public:
    /// Throws kIo, naming the file, when it is not a regular file or cannot be opened.
    explicit InputFile(std::string path);
    ~InputFile();
    InputFile(const InputFile&) = delete;
    InputFile& operator=(const InputFile&) = delete;

    const std::string& path() const { return path_; }
    int descriptor() const { return fd_; }
    /// Bytes, when it was opened.
    uint64_t size() const { return size_; }

    /// Fills `to` with the bytes from offset on. Throws kIo that names file and offset.
    void read(uint64_t offset, std::span<std::byte> to) const;

  private:
    std::string path_;
    int fd_ = -1;
    uint64_t size_ = 0;
};

/// Why a file that was to be read cannot be opened, by the errno of that, and the remedy: "cannot open
/// 'PATH': …". One line.
std::string open_failure(const std::string& path, int error);
/// The same for a path that can be opened but leads to no regular file; nothing where it does.
std::string not_a_file(const std::string& path, unsigned mode);

/// All of a file's bytes. Throws kIo.
std::vector<std::byte> read_whole_file(const std::string& path);

/// All bytes up to the end of a file, a pipe or a file of /proc, whose size nobody knows beforehand. Throws
/// kIo.
std::string read_stream(const std::string& path);
/// The same of descriptor 0.
std::string read_standard_input();

/// "cannot read 512 bytes of 'PATH' at offset 4096: REASON".
std::string read_error(const std::string& path, uint64_t offset, uint64_t bytes, const std::string& reason);
/// The reasons: the system's, of an errno, and that the open file ends too early.
std::string disk_fault(int error);
std::string cut_short(int descriptor);

}  // namespace vkmoe
